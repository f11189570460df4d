"""In which order tensors are built, and when an intermediate is read for the last time.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from modelbuild.plan import Action, Plan, Ref


def order(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """Order the targets' tensors, as (target, file, tensor).

    File by file, so that one can be brought to disk while the next is computed; the largest file and in it the largest
    tensor first, so that no core waits for one at the end.  Each tensor is built through the whole graph, its `chain`,
    before the next is begun.
    """
    files = [(target, file, names) for target in plan.targets.values() for file, names in target.files.items()]
    files.sort(key=lambda entry: -sum(entry[0].tensors[name].nbytes for name in entry[2]))
    return tuple(
        (target.name, file, name) for target, file, names in files for name in sorted(names, key=lambda name: -target.tensors[name].nbytes)
    )


def chain(*refs: Ref) -> tuple[Action, ...]:
    """Return the actions that tensors rest on, each once, inputs before what reads them; of one tensor, itself last."""
    done: dict[int, Action] = {}
    stack: list[tuple[Ref, bool]] = [(ref, False) for ref in reversed(refs)]
    while stack:
        at, ready = stack.pop()
        if not isinstance(at, Action) or id(at) in done:
            continue
        if ready:
            done[id(at)] = at
        else:
            stack.append((at, True))
            stack.extend((need, False) for need in reversed(at.needs))
    return tuple(done.values())


def uses(plan: Plan) -> Mapping[Ref, int]:
    """Count how many actions and targets read each tensor; doubles are read as, and read with, the first of their kind."""
    read = Counter(plan.first(need) for action in plan.firsts(plan.actions) for need in action.needs)
    read.update(plan.first(ref) for target in plan.targets.values() for ref in target.tensors.values())
    return read

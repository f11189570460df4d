"""In which order tensors are built, and when an intermediate is read for the last time.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from modelbuild.plan import Action, Plan, Ref


def order(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Order the targets' tensors, as (target, tensor): the largest first, so that no core waits for one at the end.

    Each is built through the whole graph, its `chain`, before the next is begun.
    """
    tensors = [(target.name, name, ref.nbytes) for target in plan.targets.values() for name, ref in target.tensors.items()]
    return tuple((target, name) for target, name, _ in sorted(tensors, key=lambda entry: -entry[2]))


def chain(ref: Ref) -> tuple[Action, ...]:
    """Return the actions that a tensor rests on, inputs before what reads them, itself last."""
    done: dict[int, Action] = {}
    stack: list[tuple[Ref, bool]] = [(ref, False)]
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


def uses(actions: Iterable[Action]) -> Mapping[Action, int]:
    """Count how many actions read each action's result."""
    return Counter(need for action in actions for need in action.needs if isinstance(need, Action))

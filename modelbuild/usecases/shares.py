"""What each target had of a build's work."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from modelbuild.plan import Action, Plan, Ref, Target
from modelbuild.usecases.outcome import BuiltTarget, State


def rests_on(target: Target) -> tuple[Action, ...]:
    """Return all actions that a target's tensors rest on, each once."""
    found: dict[int, Action] = {}
    pending: list[Ref] = list(target.tensors.values())
    while pending:
        ref = pending.pop()
        if isinstance(ref, Action) and id(ref) not in found:
            found[id(ref)] = ref
            pending += ref.needs
    return tuple(found.values())


def shared_out(plan: Plan, states: dict[str, State], ran: Collection[tuple[str, str]]) -> Iterator[BuiltTarget]:
    """Yield the targets of a plan with the work of each: what several rest on is the first one's, so that all sum up to what was done.

    Args:
        plan: what was built.
        states: what became of each target.
        ran: node and tensor of each action that ran.

    """
    claimed: set[int] = set()
    for target in plan.targets.values():
        actions = rests_on(target)
        own = [one for one in actions if (one.node, one.tensor) in ran and id(one) not in claimed]
        claimed.update(map(id, own))
        yield BuiltTarget(
            target.name,
            str(target.path),
            states.get(target.name, "failed"),
            len(target.tensors),
            plan.graph.nodes[target.name].merge.point,
            len(own),
            len(actions) - len(own),
            sum(one.nbytes for one in own),
        )


def with_shares(plan: Plan, targets: tuple[BuiltTarget, ...], running: Collection[Action]) -> tuple[BuiltTarget, ...]:
    """Return forecast targets with the work that each would have."""
    ran = {(one.node, one.tensor) for one in running}
    shares = {one.name: one for one in shared_out(plan, {}, ran)}
    return tuple(replace(shares[one.name], state=one.state) for one in targets)

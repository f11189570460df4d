"""Actions of one plan that compute the same thing: of variants that differ elsewhere, of merges with steps in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelbuild.plan.actions import Action, Ref


def doubles(actions: Iterable[Action]) -> Mapping[Action, Action]:
    """Find the actions that are like an earlier one in all that a key is made of, and read the very same tensors.

    What waits for a survey, or computes by a step, is not looked at.

    Args:
        actions: inputs before what reads them.

    Returns:
        The first of its kind, by each that is like it.

    """
    seen: dict[tuple[Ref, ...], dict[object, Action]] = {}
    found: dict[Action, Action] = {}
    for action in actions:
        if type(action) is Action and action.survey is None:
            read = tuple(found.get(need, need) if isinstance(need, Action) else need for need in action.needs)
            first = seen.setdefault(read, {}).setdefault(_kind(action), action)
            if first is not action:
                found[action] = first
    return found


def _kind(action: Action) -> tuple[object, ...]:
    """Return all that a key is made of but the inputs; values as they are written, for 1 is not 1.0, nor -0.0 the same as 0.0."""
    method = action.method
    return (
        method.name,
        repr(action.params),
        action.base is None,
        action.dtype,
        action.shape,
        action.seed if method.random else None,
        action.bare,
        action.lenient,
    )

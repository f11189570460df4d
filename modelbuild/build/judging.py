"""What a build would find: every action of a plan judged against the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelbuild.cache import Cache
from modelbuild.engine.sources import SourceFiles
from modelbuild.plan import Action, Plan
from modelbuild.stale import Fresh, Judgement, Pending, judge


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan judged.

    Args:
        judgements: of every action.
        running: the actions that may run: those that are not fresh, and what they read if its bytes are gone.
        exact: whether all judgements are final: none waits for another.

    """

    judgements: Mapping[Action, Judgement]
    running: frozenset[Action]
    exact: bool


def judge_plan(plan: Plan, cache: Cache, sources: SourceFiles, device: str, *, force: bool = False) -> Judged:
    """Judge a plan without reading a tensor."""
    cache.packs.ensure_indexed()
    judgements = judge(plan.actions, sources.known, lambda key: cache.records.digest(key) or "", device, force=force)
    running = {action for action, judgement in judgements.items() if not isinstance(judgement, Fresh)}
    for action in reversed(plan.actions):
        if action in running:
            for need in action.needs:
                if isinstance(need, Action) and need not in running:
                    judgement = judgements[need]
                    if isinstance(judgement, Fresh) and not cache.packs.locate(judgement.digest, need.dtype, need.shape):
                        running.add(need)
    exact = not any(isinstance(judgement, Pending) for judgement in judgements.values())
    return Judged(judgements, frozenset(running), exact)

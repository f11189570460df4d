"""Whether targets are fresh: by the stamp of the last build where nothing has moved, else by planning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from modelbuild.names import short
from modelbuild.usecases import stamp
from modelbuild.usecases.where import Where

if TYPE_CHECKING:
    from modelbuild.stale import Change
    from modelbuild.usecases.explaining import Explanation
    from modelbuild.usecases.outcome import BuiltTarget
    from modelbuild.usecases.view import View


class TargetStatus(Struct, frozen=True):
    """A target: fresh, or stale because.

    Args:
        name: the merge.
        path: its output directory.
        state: fresh or stale.
        stale: how many actions would or may run for it; what several targets rest on is counted for one of them, as in a forecast.
        actions: how many it rests on.
        reasons: the distinct reasons, most frequent first.
        point: of a variant, what it has from its matrix, by parameter.
        nbytes: what the results of those that may run hold.
        shared: how many more of its actions may run that are counted for another target.

    """

    name: str
    path: str
    state: Literal["fresh", "stale"]
    stale: int
    actions: int
    reasons: tuple[str, ...]
    point: Mapping[str, Any] = field(default_factory=dict)
    nbytes: int = 0
    shared: int = 0


def status(where: Where, targets: Sequence[str]) -> tuple[TargetStatus, ...]:
    """See `modelbuild.usecases.status`."""
    left = _standing(where, tuple(targets))
    if left is not None:
        held = {table["name"]: table for table in left["outcome"]["targets"]}
        return tuple(_fresh(held[name], left["rests_on"][name]) for name in dict.fromkeys(targets or held))
    from modelbuild.usecases.shares import shared_out
    from modelbuild.usecases.view import View

    view = View(where, targets)
    try:
        computed = {(action.node, action.tensor) for action in view.forecast.computed}
        found = tuple(_judged(view, share) for share in shared_out(view.plan, {}, computed))
        return (*found, *_exports(view, targets, {one.name for one in found if one.state == "fresh"}))
    finally:
        view.close()


def _fresh(table: Mapping[str, Any], actions: int) -> TargetStatus:
    return TargetStatus(table["name"], table["path"], "fresh", 0, actions, (), table.get("point", {}))


def _standing(where: Where, targets: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the stamp of a build of these targets, or of the default ones with these among them, if nothing has moved since."""
    text, lock = b"".join(map(stamp.read, where.files)), stamp.read(where.lock)
    for path in (path for words in dict.fromkeys((targets, ())) for path in stamp.stamps_of(where, text, words)):
        left = stamp.standing(path, text, lock)
        if left and {*targets} <= {table["name"] for table in left["outcome"]["targets"]}:
            return left
    return None


def _judged(view: View, share: BuiltTarget) -> TargetStatus:
    """Judge one target, given its share of what would run, and count why its tensors are stale."""
    from modelbuild.schedule import chain
    from modelbuild.usecases.explaining import Explainer
    from modelbuild.usecases.unlike import is_absent, output_changes

    explainer, target = Explainer(view), view.plan.targets[share.name]
    actions = chain(*target.tensors.values())
    stale = [action for action in actions if action in view.judged.running]
    reasons: Counter[str] = Counter()
    for action in stale:
        told = explainer.explained(action)
        if told.state == "stale":
            reasons[_reason(told)] += 1
        elif explainer.unread(action):
            reasons["a source has not been read yet"] += 1
    if not stale and view.forecast.target(target).state == "stale":
        unlike = output_changes(view, target)
        absent = is_absent(unlike, target)
        reasons["its output is not there" if absent else _changes(unlike) if unlike else "its output is to be written again"] += 1
    state: Literal["fresh", "stale"] = "stale" if stale or reasons else "fresh"
    by_count = tuple(reason for reason, _ in reasons.most_common())
    return TargetStatus(
        target.name, str(target.path), state, share.run, len(actions), by_count, share.point, share.nbytes, len(stale) - share.run
    )


def _exports(view: View, targets: Sequence[str], fresh: Collection[str]) -> Iterator[TargetStatus]:
    """Yield the state of each export, given the merges that are fresh."""
    from modelbuild.engine.publish import content_of
    from modelbuild.usecases import silent
    from modelbuild.usecases.delivering import Delivery
    from modelbuild.usecases.outcome import Options

    delivery = Delivery(view.project, view.plan, view.cache, view.sources, targets, Options(), silent)
    for export in delivery.exports:
        content = content_of(view.plan.targets[export.of], view.digest) if export.of in fresh else None
        reason = delivery.stale(export, content)
        yield TargetStatus(export.name, str(delivery.path(export)), "stale" if reason else "fresh", 0, 0, (reason,) if reason else ())


def _reason(told: Explanation) -> str:
    return _changes(told.changes) if told.changes else told.why


def _changes(told: Sequence[Change]) -> str:
    return "; ".join(f"{change.field}: {_short(change.old)} -> {_short(change.new)}" for change in told[:3])


def _short(text: str) -> str:
    return short(text) or "nothing"

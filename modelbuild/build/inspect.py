"""Looking without building: status, explain, show, graph, methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelbuild.build.delivering import Delivery
from modelbuild.build.foretelling import Forecast
from modelbuild.build.outcome import Options
from modelbuild.build.project import Project
from modelbuild.build.where import Where
from modelbuild.cache import Cache
from modelbuild.cache.history import History
from modelbuild.cache.outputs import OutputTable
from modelbuild.engine.publish import content_of
from modelbuild.errors import ModelbuildError, Problem, did_you_mean
from modelbuild.events import silent
from modelbuild.method import REQUIRED, Method
from modelbuild.methods import installed, load
from modelbuild.plan import Action, Leaf, Plan
from modelbuild.schedule import chain
from modelbuild.stale import Change, Description, Fresh, Pending, changes, description_of, key_of


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target: fresh, or stale because.

    Args:
        name: the merge.
        path: its output directory.
        state: fresh or stale.
        stale: how many actions would or may run for it.
        actions: how many it rests on.
        reasons: the distinct reasons, most frequent first.

    """

    name: str
    path: str
    state: Literal["fresh", "stale"]
    stale: int
    actions: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one tensor's action is fresh or stale.

    Args:
        tensor: NODE::TENSOR.
        state: "fresh", "stale", or "pending" if what it reads has yet to be built.
        why: in words.
        changes: what moved, old and new.

    """

    tensor: str
    state: Literal["fresh", "stale", "pending"]
    why: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class ShownTensor:
    """One tensor of a target: where it comes from, and with which parameters.

    `key` is "" where it is handed on or cannot be known yet.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    method: str
    inputs: tuple[str, ...]
    params: Mapping[str, Any]
    key: str


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """A target tensor by tensor."""

    name: str
    path: str
    files: Mapping[str, int]
    """Bytes of tensors in each weight file."""
    tensors: tuple[ShownTensor, ...]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A source or a merge."""

    name: str
    kind: Literal["source", "merge"]
    label: str
    """The method of a merge; where a source comes from."""
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphView:
    """The graph, in building order: sources first where they are first read."""

    nodes: tuple[GraphNode, ...]


@dataclass(frozen=True, slots=True)
class MethodView:
    """A method as people see it; `params` are (name, kind, scope, default, range)."""

    name: str
    space: str
    base: str
    inputs: tuple[int, int]
    numerics: str
    revision: int
    forms: tuple[str, ...]
    params: tuple[tuple[str, str, str, str, str], ...]
    text: str
    source: str


class _View:
    """A plan with everything that can be said of it without building."""

    def __init__(self, where: Where, targets: Sequence[str]) -> None:
        self.project = Project.open(where)
        self.plan: Plan = self.project.plan(self.project.targets(targets))
        self.cache: Cache = self.project.cache()
        self.forecast = Forecast(self.plan, self.cache, Options())
        self.judged, self.digest, self.device = self.forecast.judged, self.forecast.digest, self.forecast.device
        self.history = History(self.cache.index, where.file)

    def key(self, action: Action) -> str:
        digests = tuple(map(self.digest, action.needs))
        return key_of(action, digests, self.device) if all(digests) else ""

    def unread(self, action: Action) -> bool:
        """Tell whether all that an action waits for are sources that no build has read."""
        return all(isinstance(need, Leaf) for need in action.needs if not self.digest(need))

    def past(self, action: Action) -> tuple[Description, Description]:
        """Return what the action's key was made of in the last build, and before it last changed."""
        one = self.history.of(action.node).get(action.tensor)
        if one is None:
            return (), ()
        records = [self.cache.records.get(key) if key else None for key in (one.key, one.before)]
        last, before = (record.description if record else () for record in records)
        return last, before

    def explained(self, action: Action) -> Explanation:
        judgement = self.judged.judgements[action]
        last, before = self.past(action)
        if isinstance(judgement, Pending):
            return Explanation(
                action.label,
                "pending",
                f"{_listed(judgement.waits_for)} {'not read yet' if self.unread(action) else 'to be built first'}",
                (),
            )
        now = description_of(action, tuple(map(self.digest, action.needs)), self.device)
        moved = changes(last, now) if last else ()
        if isinstance(judgement, Fresh):
            if moved:
                return Explanation(action.label, "fresh", "it was built with these values before", moved)
            if before:
                return Explanation(
                    action.label, "fresh", "nothing changed since the last build; what changed before that:", changes(before, last)
                )
            return Explanation(
                action.label, "fresh", "nothing changed since the last build" if last else "its bytes are known under other names", ()
            )
        return Explanation(action.label, "stale", "these changed:" if moved else judgement.reason, moved)


def status(where: Where, targets: Sequence[str]) -> tuple[TargetStatus, ...]:
    """See `modelbuild.build.status`."""
    view = _View(where, targets)
    outputs = OutputTable(view.cache.index)
    found = []
    for target in view.plan.targets.values():
        actions = {id(action): action for ref in target.tensors.values() for action in chain(ref)}
        stale = [action for action in actions.values() if action in view.judged.running]
        reasons: Counter[str] = Counter()
        for action in stale:
            told = view.explained(action)
            if told.state == "stale":
                reasons[_reason(told)] += 1
            elif view.unread(action):
                reasons["a source has not been read yet"] += 1
        if not stale and view.forecast.target(target).state == "stale":
            reasons["its output holds something else" if outputs.known(target.path) else "its output is not there, or was touched"] += 1
        state: Literal["fresh", "stale"] = "stale" if stale or reasons else "fresh"
        found.append(
            TargetStatus(
                target.name, str(target.path), state, len(stale), len(actions), tuple(reason for reason, _ in reasons.most_common())
            )
        )
    found += _exports(view, targets, {one.name for one in found if one.state == "fresh"})
    view.cache.close()
    return tuple(found)


def _exports(view: _View, targets: Sequence[str], fresh: Collection[str]) -> Iterator[TargetStatus]:
    """Yield the state of each export, given the merges that are fresh."""
    delivery = Delivery(view.project, view.plan, view.cache, targets, Options(), silent)
    for export in delivery.exports:
        content = content_of(view.plan.targets[export.of], view.digest) if export.of in fresh else None
        reason = delivery.stale(export, content)
        yield TargetStatus(export.name, str(delivery.path(export)), "stale" if reason else "fresh", 0, 0, (reason,) if reason else ())


def explain(where: Where, target: str, tensor: str) -> tuple[Explanation, ...]:
    """See `modelbuild.build.explain`."""
    view = _View(where, (target,) if target else ())
    target = view.project.target(target)
    tensors = view.plan.targets[target].tensors
    if tensor and tensor not in tensors:
        raise ModelbuildError(
            Problem(
                f"`{target}` has no tensor `{tensor}`",
                facts=(f"it has {len(tensors)}; modelbuild show {target} lists them",),
                hint=did_you_mean(tensor, tensors),
            )
        )
    told: list[Explanation] = []
    seen: set[int] = set()
    for name in (tensor,) if tensor else tensors:
        ref = tensors[name]
        if isinstance(ref, Leaf):
            if tensor:
                told.append(Explanation(f"{target}::{name}", "fresh", f"it is {ref.label}, handed on", ()))
            continue
        for action in chain(ref):
            if id(action) not in seen:
                seen.add(id(action))
                told.append(view.explained(action))
    view.cache.close()
    return tuple(told)


def show(where: Where, target: str) -> ShownTarget:
    """See `modelbuild.build.show`."""
    view = _View(where, (target,) if target else ())
    target = view.project.target(target)
    planned = view.plan.targets[target]
    tensors = []
    for name, ref in planned.tensors.items():
        if isinstance(ref, Leaf) or ref.node not in planned.own_nodes:
            tensors.append(ShownTensor(name, ref.dtype, ref.shape, "", (ref.label,), {}, ""))
        else:
            tensors.append(
                ShownTensor(
                    name, ref.dtype, ref.shape, ref.method.name, tuple(need.label for need in ref.needs), dict(ref.params), view.key(ref)
                )
            )
    view.cache.close()
    files = {file: sum(planned.tensors[name].nbytes for name in names) for file, names in planned.files.items()}
    return ShownTarget(target, str(planned.path), files, tuple(tensors))


def graph(where: Where, target: str) -> GraphView:
    """See `modelbuild.build.graph`."""
    project = Project.open(where)
    names = project.graph.upstream(project.targets((target,))) if target else tuple(project.graph.nodes)
    nodes: dict[str, GraphNode] = {}
    for name in names:
        node = project.graph.nodes[name]
        for model in node.models:
            if model in project.modelfile.sources and model not in nodes:
                nodes[model] = GraphNode(model, "source", project.modelfile.sources[model].location, ())
        nodes[name] = GraphNode(name, "merge", node.merge.method, node.models)
    return GraphView(tuple(nodes.values()))


def methods(name: str) -> tuple[MethodView, ...]:
    """See `modelbuild.build.methods`."""
    if name and name not in installed():
        raise ModelbuildError(
            Problem(
                f"no merge method is called `{name}`", facts=(f"installed: {', '.join(installed())}",), hint=did_you_mean(name, installed())
            )
        )
    return tuple(_viewed(load(one)) for one in ((name,) if name else installed()))


def _viewed(method: Method) -> MethodView:
    forms = ("streaming", "short") if method.apply else ("short",)
    params = tuple(
        (
            param.name,
            param.kind.__name__,
            param.per,
            "required"
            if param.default is REQUIRED
            else str(param.default).lower()
            if isinstance(param.default, bool)
            else str(param.default),
            param.range,
        )
        for param in method.params
    )
    return MethodView(
        method.name, method.space, method.base, method.inputs, method.numerics, method.revision, forms, params, method.text, method.source
    )


def _reason(told: Explanation) -> str:
    if told.changes:
        return "; ".join(f"{change.field}: {_short(change.old)} -> {_short(change.new)}" for change in told.changes[:3])
    return told.why


def _short(text: str) -> str:
    return text[:8] if len(text) == 64 else text or "nothing"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

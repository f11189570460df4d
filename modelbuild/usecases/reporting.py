"""All that is known of a target: the graph, parameters as resolved, what was measured, time, lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from modelbuild.cache import Cache
from modelbuild.cache.figures import Figures
from modelbuild.cache.timings import KEY_DIGITS, Timings
from modelbuild.digest import merkle_root
from modelbuild.engine.choosing import assign, identity
from modelbuild.engine.measuring import measurable
from modelbuild.engine.sources import SourceFiles
from modelbuild.events import Report
from modelbuild.names import portable
from modelbuild.plan import Action, Leaf, Plan, Ref
from modelbuild.schedule import chain
from modelbuild.sources.hub import HubFolder
from modelbuild.stale import key_of
from modelbuild.usecases.graphing import GraphView, commit_of, graph_of
from modelbuild.usecases.judging import judge_plan, read_sources, root_of
from modelbuild.usecases.licences import licence_of
from modelbuild.usecases.measuring import Measurements
from modelbuild.usecases.project import Project
from modelbuild.usecases.recorded import Recorded, recorded
from modelbuild.usecases.where import Where


class TensorReport(Struct, frozen=True):
    """One tensor of a merge.

    Args:
        name: in the merge.
        layer: of its stack, -1 outside of all.
        module: its name without stack and layer; the whole name outside of layers.
        dtype: storage type, safetensors code.
        shape: dimensions.
        origin: what hands it on, as MODEL::TENSOR; "" where the merge computes it.
        params: as resolved, by name; a tuple where there is one for each parent.  Empty of what is handed on.
        parents: the models that it was merged from, and of what it is handed on those of the merge that computed it.
        base: the source that it is measured from, "" where nothing is measured.
        figures: what was measured, None where nothing was.
        seconds: that it took when it was last merged, -1 where that is not known.

    """

    name: str
    layer: int
    module: str
    dtype: str
    shape: tuple[int, ...]
    origin: str
    params: Mapping[str, Any]
    parents: tuple[str, ...]
    base: str
    figures: Figures | None
    seconds: float


class MergeReport(Struct, frozen=True):
    """A merge of the graph, tensor by tensor; the parameters of each input are in the order of `inputs`."""

    name: str
    method: str
    inputs: tuple[str, ...]
    tensors: tuple[TensorReport, ...]


class SourceReport(Struct, frozen=True):
    """Where a source comes from.

    Args:
        name: in the Modelfile.
        location: as written; of a path that starts from a root or a home, its end.
        commit: of a repository on the hub, or "".
        root: Merkle root over its tensors, "" where not all have been read.
        licence: as it names it, or "".

    """

    name: str
    location: str
    commit: str
    root: str
    licence: str


class ReportView(Struct, frozen=True):
    """A target and all that it rests on.

    Args:
        target: its name.
        root: Merkle root over its tensors, "" where it is not built.
        nbytes: of its tensors.
        graph: what it rests on.
        merges: itself, then those that it reads, nearest first.
        sources: in the order they are first read.
        checks: what its checks came to, as far as that is recorded.
        unbuilt: tensors of these merges that are not built as the Modelfile is now.

    """

    target: str
    root: str
    nbytes: int
    graph: GraphView
    merges: tuple[MergeReport, ...]
    sources: tuple[SourceReport, ...]
    checks: tuple[Recorded, ...]
    unbuilt: int


def report(where: Where, target: str, told: Report) -> ReportView:
    """See `modelbuild.usecases.view_report`."""
    project = Project.open(where)
    target = project.target(target)
    plan = project.plan((target,))
    cache = project.cache()
    sources = SourceFiles(cache)
    try:
        return _Reporter(project, plan, cache, sources, told).view(target)
    finally:
        sources.remember()
        sources.close()
        cache.close()


class _Reporter:
    """Gathers what a report holds."""

    def __init__(self, project: Project, plan: Plan, cache: Cache, sources: SourceFiles, told: Report) -> None:
        self.project, self.plan, self.cache = project, plan, cache
        self.sources = sources
        read_sources(plan, cache, sources)
        devices = assign("auto", plan.actions)
        self.told = identity(devices, plan.actions)
        self.judged = judge_plan(plan, cache, self.sources, self.told)
        self.timings = Timings(cache.index, project.where.file)
        computed = [
            ref for name in plan.graph.nodes if name in plan.models for ref in self.tables(name).values() if isinstance(ref, Action)
        ]
        live = set(plan.actions)
        self.own = [action for action in computed if action in live]
        self.figures = Measurements(plan, cache, self.sources, self.judged, devices, self.told).take(self.own, told)

    def tables(self, name: str) -> Mapping[str, Ref]:
        """Return a merge's tensors as they are written, or handed to others."""
        return self.plan.targets[name].tensors if name in self.plan.targets else self.plan.models[name].tensors

    def view(self, target: str) -> ReportView:
        planned = self.plan.targets[target]
        names = [name for name in reversed(self.plan.graph.upstream((target,))) if name in self.plan.models]
        root = root_of(planned, self.digest)
        live = {action for ref in planned.tensors.values() for action in chain(ref)}
        return ReportView(
            target,
            root,
            sum(ref.nbytes for ref in planned.tensors.values()),
            graph_of(self.project, (target,)),
            tuple(self.merge(name, live) for name in names),
            tuple(self.lineage()),
            recorded(self.project, self.plan, self.cache, self.sources, target, root),
            sum(not self.digest(action) for action in set(self.own)),
        )

    def digest(self, ref: Ref) -> str:
        return self.judged.digest(ref, self.sources)

    def merge(self, name: str, live: set[Action]) -> MergeReport:
        node = self.plan.graph.nodes[name]
        times = self.timings.of(name)
        inputs = tuple(dict.fromkeys(one.model for part in node.slices for one in part.inputs)) or node.models
        tensors = [
            self.tensor(name, tensor, ref, times) for tensor, ref in self.tables(name).items() if isinstance(ref, Leaf) or ref in live
        ]
        return MergeReport(name, node.merge.method, inputs, tuple(tensors))

    def tensor(self, node: str, name: str, ref: Ref, times: Mapping[str, tuple[str, float]]) -> TensorReport:
        anatomy = self.plan.models[node].anatomy
        stack, layer = anatomy.place_of(name)
        module = name
        if layer >= 0:
            prefix = anatomy.stacks[stack].prefix
            rest = name[len(prefix) + 1 :].partition(".")[2]
            module = f"{prefix}: {rest}" if stack else rest
        if isinstance(ref, Leaf):
            return TensorReport(name, layer, module, ref.dtype, ref.shape, ref.label, {}, (), "", None, -1.0)
        own = ref if ref.node == node else next((one for one in ref.inputs if isinstance(one, Action) and one.node == node), None)
        what = measurable(ref)
        return TensorReport(
            name,
            layer,
            module,
            ref.dtype,
            ref.shape,
            "" if own else ref.label,
            dict(_written(own)) if own else {},
            tuple(map(model_of, what.parents)) if what else (),
            model_of(what.base) if what else "",
            self.figures.get(ref),
            self.seconds(own, times) if own else -1.0,
        )

    def seconds(self, action: Action, times: Mapping[str, tuple[str, float]]) -> float:
        """Return how long an action took, if it was that one that was timed."""
        digests = tuple(map(self.digest, action.needs))
        key, seconds = times.get(action.tensor, ("", -1.0))
        return seconds if all(digests) and key == key_of(action, digests, self.told)[:KEY_DIGITS] else -1.0

    def lineage(self) -> Iterator[SourceReport]:
        for name, checkpoint in self.plan.checkpoints.items():
            leaves = [Leaf(name, info) for info in checkpoint.tensors.values()]
            known = [(leaf.info.name, leaf.dtype, leaf.shape, self.sources.known(leaf)) for leaf in leaves]
            root = merkle_root(known) if all(digest for *_, digest in known) else ""
            folder = checkpoint.folder
            commit = commit_of(self.project, name) or (folder.commit if isinstance(folder, HubFolder) else "")
            location = self.project.modelfile.read[name].location
            yield SourceReport(name, portable(location), commit, root, licence_of(checkpoint))


def model_of(ref: Ref) -> str:
    """Return the name of the model that a tensor belongs to."""
    return ref.source if isinstance(ref, Leaf) else ref.node


def _written(action: Action) -> Iterator[tuple[str, Any]]:
    """Yield an action's parameters, with the factor of a task vector that is scaled in the end, without those that do nothing."""
    vector = action.inputs[-1] if action.inputs else None
    inner = vector if isinstance(vector, Action) and vector.bare else action
    inert = {param.name for param in inner.method.params if param.inert}
    for name, value in inner.params:
        if name not in inert:
            yield name, value
    if inner is not action:
        yield inner.method.scaled_by, dict(action.params)["weight"][1]

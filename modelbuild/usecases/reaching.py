"""Why one model rests on another: a path through the graph, or of a tensor through the actions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import networkx
from msgspec import Struct

from modelbuild.errors import ModelbuildError, Problem, did_you_mean
from modelbuild.graph import Graph
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.plan import Action, Plan, Ref
from modelbuild.usecases.project import Project
from modelbuild.usecases.where import Where


class Stop(Struct, frozen=True):
    """One model, or one tensor, of a path.

    Args:
        name: NODE or NODE::TENSOR.
        kind: "source", or the method of a merge.
        read_as: what the next one reads it as: "base", "inputs[0]" and so on; "" of the last.

    """

    name: str
    kind: str
    read_as: str


class Reach(Struct, frozen=True):
    """A path from what is read to what rests on it; empty where neither rests on the other."""

    first: str
    last: str
    path: tuple[Stop, ...]


def why(where: Where, first: str, last: str) -> Reach:
    """See `modelbuild.usecases.why`."""
    project = Project.open(where)
    (one, one_tensor), (other, other_tensor) = (_named(project.graph, name) for name in (first, last))
    for up, down, ends in (
        ((one, one_tensor), (other, other_tensor), (first, last)),
        ((other, other_tensor), (one, one_tensor), (last, first)),
    ):
        if not networkx.has_path(project.graph.digraph, up[0], down[0]):
            continue
        if not (up[1] or down[1]):
            path = tuple(_through_models(project.graph, up[0], down[0]))
        elif down[0] in project.graph.nodes:
            path = tuple(_through_tensors(project.plan((down[0],)), up, down))
        else:
            path = ()
        if path:
            return Reach(*ends, path)
    return Reach(first, last, ())


def _named(graph: Graph, text: str) -> tuple[str, str]:
    """Read NODE or NODE::TENSOR.

    Raises:
        ModelbuildError: exit 2 if no source or merge has that name.

    """
    name, _, tensor = text.partition("::")
    exports = graph.modelfile.exports
    name = exports[name].of if name in exports else name
    if name not in graph.digraph:
        known = (*graph.modelfile.sources, *graph.modelfile.merges)
        what, facts, hint = misnamed(name, f"no source and no merge is called `{name}`", known)
        raise ModelbuildError(Problem(what, facts=facts, hint=hint))
    return name, tensor


def _through_models(graph: Graph, first: str, last: str) -> Iterator[Stop]:
    names: list[str] = networkx.shortest_path(graph.digraph, first, last)
    for name, reader in zip(names, [*names[1:], ""], strict=True):
        kind = graph.nodes[name].merge.method if name in graph.nodes else "source"
        yield Stop(name, kind, _role(graph, name, reader) if reader else "")


def _role(graph: Graph, name: str, reader: str) -> str:
    """Return what a merge reads a model as."""
    node = graph.nodes[reader]
    merge = node.merge
    for at, part in enumerate(node.slices):
        place = "" if node.whole else f"slices[{at}]"
        if part.base == name and merge.base == name:
            return "base"
        for i, one in enumerate(part.inputs):
            if one.model == name:
                return place if place and len(part.inputs) == 1 else f"{place}{'.' if place else ''}inputs[{i}]"
        if part.base == name:
            return f"{place}{'.' if place else ''}base"
    alone = {"base": merge.base, "embed": merge.embed, "head": merge.head}
    found = next((role for role, model in alone.items() if model == name), "")
    experts = next((f"experts[{i}]" for i, one in enumerate(merge.mixture.experts) if one.model == name), "")
    listed = next((f"inputs[{i}]" for i, one in enumerate(merge.inputs) if one.model == name), "")
    return found or listed or experts or ("tokenizer" if name in (*merge.tokenizer.models, node.template) else "input")


def _through_tensors(plan: Plan, up: tuple[str, str], down: tuple[str, str]) -> Iterator[Stop]:
    """Yield the shortest path through actions to a tensor, or to any tensor of a model where none is named; the first one first."""
    (source, given), (target, tensor) = up, down
    held = plan.models[target].tensors
    ends = {name: ref for name, ref in held.items() if not tensor or name == tensor}
    if not ends:
        facts = (f"it has {len(held)}; modelbuild show {target} lists them",)
        raise ModelbuildError(Problem(f"`{target}` has no tensor `{tensor}`", facts=facts, hint=did_you_mean(tensor, held)))
    wanted = {ref for name, ref in plan.models[source].tensors.items() if not given or name == given} if source in plan.models else set()
    names = {ref: name for name, ref in (plan.models[source].tensors.items() if source in plan.models else ())}
    for name, ref in ends.items():
        found = _shortest(ref, wanted)
        if found:
            yield from _stops(found, f"{source}::{names[found[0]]}", f"{target}::{name}")
            return


def _shortest(end: Ref, wanted: set[Ref]) -> tuple[Ref, ...]:
    """Search from a tensor towards what it reads, breadth first; return the path, what is read first."""
    reader: dict[Ref, Ref | None] = {end: None}
    waiting = deque([end])
    while waiting:
        ref = waiting.popleft()
        if ref in wanted:
            path: list[Ref] = []
            at: Ref | None = ref
            while at is not None:
                path.append(at)
                at = reader[at]
            return tuple(path)
        for need in ref.needs if isinstance(ref, Action) else ():
            if need not in reader:
                reader[need] = ref
                waiting.append(need)
    return ()


def _stops(refs: tuple[Ref, ...], first: str, last: str) -> Iterator[Stop]:
    """Name the tensors of a path: the ends as they were asked for, with where their bytes come from if that is elsewhere."""
    asked = {0: first, len(refs) - 1: last} if len(refs) > 1 else {0: last}
    for i, (ref, reader) in enumerate(zip(refs, (*refs[1:], None), strict=True)):
        name, kind = asked.get(i, ref.label), ref.method.name if isinstance(ref, Action) else "source"
        handed = "" if name == ref.label else f", handed on from {ref.label}"
        yield Stop(name, f"{kind}{handed}", _tensor_role(ref, reader) if isinstance(reader, Action) else "")


def _tensor_role(ref: Ref, reader: Action) -> str:
    if ref is reader.base:
        return "base"
    if ref is reader.survey:
        return "survey"
    return next((f"inputs[{i}]" for i, one in enumerate(reader.inputs) if one is ref), "input")

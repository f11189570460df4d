"""The graph of merges, for pictures: every model with what people want to know of it at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from modelbuild.modelfile.model import Input, Merge, Modelfile, Setting
from modelbuild.names import portable
from modelbuild.usecases.project import Project
from modelbuild.usecases.where import Where

SHOWN_COMMIT = 12
"""Digits of a commit that tell it from others."""


class GraphNode(Struct, frozen=True):
    """A source or a merge.

    Args:
        name: in the Modelfile.
        kind: source or merge.
        label: the method of a merge; where a source comes from, as it is written.
        inputs: what it reads, each once.
        base: which of them deltas are taken against, or "".
        details: of a merge (parameter, its setting in words), as it is written; of a source its commit, where the lock has one,
            and its adapters.

    """

    name: str
    kind: Literal["source", "merge"]
    label: str
    inputs: tuple[str, ...]
    base: str = ""
    details: tuple[tuple[str, str], ...] = ()


class GraphView(Struct, frozen=True):
    """The graph, in building order: sources first where they are first read."""

    nodes: tuple[GraphNode, ...]


def graph(where: Where, target: str) -> GraphView:
    """See `modelbuild.usecases.view_graph`."""
    project = Project.open(where)
    return graph_of(project, project.targets((target,)) if target else ())


def graph_of(project: Project, targets: tuple[str, ...]) -> GraphView:
    """Return what some targets rest on; without targets, all that is declared."""
    names = project.graph.upstream(targets) if targets else tuple(project.graph.nodes)
    nodes: dict[str, GraphNode] = {}
    for name in names:
        node = project.graph.nodes[name]
        for model in node.models:
            if model in project.modelfile.sources and model not in nodes:
                location = project.modelfile.sources[model].location
                nodes[model] = GraphNode(model, "source", location, (), details=tuple(_of_source(project, model)))
        base = next((part.base for part in node.slices if part.base), "")
        nodes[name] = GraphNode(name, "merge", node.merge.method, node.models, base, tuple(_of_merge(node.merge)))
    return GraphView(tuple(nodes.values()))


def commit_of(project: Project, source: str) -> str:
    """Return the commit that the lock pins a source to, or ""."""
    locked = project.lock.sources.get(source) if project.lock else None
    return locked.commit if locked and locked.location == project.modelfile.read[source].location else ""


def _of_source(project: Project, name: str) -> Iterator[tuple[str, str]]:
    if commit := commit_of(project, name):
        yield "commit", commit[:SHOWN_COMMIT]
    for adapter in project.modelfile.sources[name].adapters:
        yield "adapter", _adapter(project.modelfile, adapter)


def _adapter(modelfile: Modelfile, name: str) -> str:
    adapter = modelfile.adapters[name]
    location = portable(adapter.location)
    return location if adapter.scale == 1 else f"{location} times {_number(adapter.scale)}"


def _of_merge(merge: Merge) -> Iterator[tuple[str, str]]:
    """Yield what is written of a merge: its slices, its parameters, those of its inputs, and its types."""
    if merge.slices:
        yield "slices", ", ".join(" + ".join(map(_layers, part.inputs)) for part in merge.slices)
    beside: dict[str, list[str]] = {}
    inputs = merge.inputs or tuple(one for part in merge.slices for one in part.inputs)
    for name in dict.fromkeys(name for one in inputs for name in one.params):
        beside[name] = [_setting(one.params[name]) if name in one.params else "default" for one in inputs]
    for name, values in beside.items():
        yield name, values[0] if len(set(values)) == 1 else ", ".join(values)
    written: list[tuple[str, Mapping[str, Setting]]] = [("", merge.params), *(("slice ", part.params) for part in merge.slices)]
    for prefix, params in written:
        for name, setting in params.items():
            yield prefix + name, _setting(setting)
    if merge.dtype:
        yield "dtype", merge.dtype
    if merge.output.dtype:
        yield "output dtype", merge.output.dtype
    if merge.tokenizer.source:
        yield "tokenizer", merge.tokenizer.source


def _layers(one: Input) -> str:
    return one.model + _span(one.layers)


def _span(layers: tuple[int, int] | None) -> str:
    return f"[{layers[0]}, {layers[1]})" if layers else ""


def _setting(setting: Setting) -> str:
    """Write a setting in words: `self_attn 0.3; mlp [0, 4) 0.3 → 0.6; 0.4`."""
    told = []
    for rule in setting:
        value = " → ".join(map(_number, rule.value)) if isinstance(rule.value, tuple) else _number(rule.value)
        layers = _span(rule.layers)
        told.append(" ".join(filter(None, (rule.filter, layers, value))))
    return "; ".join(told)


def _number(value: float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

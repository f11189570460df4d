"""What is merged: each merge told twice, as a Modelfile and as mergekit's configurations, and what it should cost.

Values are mergekit's usual ones: bfloat16, density 0.5.  In the graph one layer of the slerp has a rule of its own, with
the same value as the rest, so that one number can be changed for that layer alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from shapes import Shape

Stage = tuple[str, str]
"""Name of the directory that is written, and mergekit's configuration."""


@dataclass(frozen=True)
class Wanted:
    """What a figure must come to, and what it should, if that is more."""

    must: float
    goal: float | None = None


@dataclass(frozen=True)
class Workload:
    """A merge.

    Args:
        name: on the command line, and of the target.
        title: in the report.
        reads: sources that it rests on.
        modelfile: without the sources.
        stages: for mergekit, one process each, in order; the last writes the result.
        stored: intermediates that ours keeps.
        stacked: whether the result is deeper than its inputs.
        faster: mergekit's time over ours.
        slower: our time over that of copying the same bytes.
        peer: the workload whose mergekit runs count for this one, or "" for its own.

    """

    name: str
    title: str
    reads: tuple[str, ...]
    modelfile: str
    stages: tuple[Stage, ...]
    stored: int = 0
    stacked: bool = False
    faster: Wanted | None = None
    slower: Wanted | None = None
    peer: str = ""

    def output_bytes(self, shape: Shape) -> int:
        """Return the bytes of the result's weights."""
        return shape.nbytes(sum(stop - start for start, stop in _stack(shape))) if self.stacked else shape.nbytes()

    def copied_bytes(self, shape: Shape) -> int:
        """Return the bytes of the result and of the intermediates that are kept, each whole, whatever of them is the same."""
        return self.output_bytes(shape) + self.stored * shape.nbytes()

    def modelfile_text(self, shape: Shape, models: Path, *, t: float = 0.4, layer_t: float = 0.4) -> str:
        """Return the Modelfile.

        Args:
            shape: of the models.
            models: the directory they are in.
            t: of the slerp at the end of a graph.
            layer_t: the same for one of its layers.

        """
        sources = "".join(f"[source.{model}]\nfrom = {json.dumps(str(models / model))}\n" for model in self.reads)
        return "version = 1\n" + sources + _filled(self.modelfile, shape, {"t": t, "layer_t": layer_t})

    def stage_texts(self, shape: Shape, models: Path, work: Path) -> tuple[Stage, ...]:
        """Return mergekit's configurations; intermediates are looked for in `work`."""
        return tuple((name, _filled(text, shape, {"models": models, "work": work})) for name, text in self.stages)


def changed_layer(shape: Shape) -> int:
    """Return the layer of the graph's slerp that can be given a number of its own; the slices take it once."""
    return shape.layers // 6


def _stack(shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the two runs of layers that the graph ends in: 24 layers become 32."""
    return (0, 2 * shape.layers // 3), (shape.layers // 3, shape.layers)


def _filled(text: str, shape: Shape, values: Mapping[str, object]) -> str:
    (first, end), (again, last) = _stack(shape)
    at = changed_layer(shape)
    return Template(text).substitute(values, first=first, end=end, again=again, last=last, at=at, after=at + 1)


def _deltas(name: str, method: str, inputs: str = "abc") -> str:
    listed = ", ".join(f'{{ model = "{model}", weight = 0.5, density = 0.5 }}' for model in inputs)
    return f'[merge.{name}]\nmethod = "{method}"\nbase = "base"\ninputs = [{listed}]\n'


def _mergekit_deltas(method: str, inputs: str = "abc") -> str:
    models = "".join(f"- {{model: $models/{model}, parameters: {{weight: 0.5, density: 0.5}}}}\n" for model in inputs)
    return f"merge_method: {method}\ndtype: bfloat16\nbase_model: $models/base\nmodels:\n{models}"


def _graph(keep: str) -> str:
    """Return two TIES, a slerp of them, and a stack of its layers; `keep` is a line of the first three."""
    return f"""\
{_deltas("left", "ties", "ab")}{keep}
{_deltas("right", "ties", "bc")}{keep}
[merge.blend]
method = "slerp"
inputs = ["left", "right"]
t = [{{ layers = [$at, $after], value = $layer_t }}, {{ value = $t }}]
{keep}
[merge.NAME]
method = "passthrough"
slices = [{{ model = "blend", layers = [$first, $end] }}, {{ model = "blend", layers = [$again, $last] }}]
"""


_MERGEKIT_GRAPH = (
    ("left", _mergekit_deltas("ties", "ab")),
    ("right", _mergekit_deltas("ties", "bc")),
    (
        "blend",
        """\
merge_method: slerp
dtype: bfloat16
base_model: $work/left
models:
- model: $work/left
- model: $work/right
parameters: {t: 0.4}
""",
    ),
    (
        "graph",
        """\
merge_method: passthrough
dtype: bfloat16
slices:
- sources: [{model: $work/blend, layer_range: [$first, $end]}]
- sources: [{model: $work/blend, layer_range: [$again, $last]}]
""",
    ),
)

_ALL = (
    Workload(
        "linear",
        "linear of 3",
        ("a", "b", "c"),
        """\
[merge.linear]
method = "linear"
inputs = [{ model = "a", weight = 0.5 }, { model = "b", weight = 0.3 }, { model = "c", weight = 0.2 }]
""",
        (
            (
                "linear",
                """\
merge_method: linear
dtype: bfloat16
models:
- {model: $models/a, parameters: {weight: 0.5}}
- {model: $models/b, parameters: {weight: 0.3}}
- {model: $models/c, parameters: {weight: 0.2}}
""",
            ),
        ),
        faster=Wanted(5, 10),
        slower=Wanted(2.6, 1.6),
    ),
    Workload(
        "slerp",
        "slerp of 2",
        ("a", "b"),
        '[merge.slerp]\nmethod = "slerp"\ninputs = ["a", "b"]\nt = 0.4\n',
        (
            (
                "slerp",
                """\
merge_method: slerp
dtype: bfloat16
base_model: $models/a
models:
- model: $models/a
- model: $models/b
parameters: {t: 0.4}
""",
            ),
        ),
        faster=Wanted(9, 14),
        slower=Wanted(3.2, 2),
    ),
    Workload(
        "task_arithmetic",
        "task_arithmetic of 3",
        ("base", "a", "b", "c"),
        _deltas("task_arithmetic", "task_arithmetic").replace(", density = 0.5", ""),
        (("task_arithmetic", _mergekit_deltas("task_arithmetic").replace(", density: 0.5", "")),),
        faster=Wanted(5, 10),
        slower=Wanted(2.6, 1.8),
    ),
    Workload(
        "ties",
        "ties of 3",
        ("base", "a", "b", "c"),
        _deltas("ties", "ties"),
        (("ties", _mergekit_deltas("ties")),),
        faster=Wanted(30, 50),
        slower=Wanted(3.2, 2),
    ),
    Workload(
        "dare_ties",
        "dare_ties of 3",
        ("base", "a", "b", "c"),
        _deltas("dare_ties", "dare_ties"),
        (("dare_ties", _mergekit_deltas("dare_ties")),),
        faster=Wanted(13, 20),
        slower=Wanted(3.8, 2.5),
    ),
    Workload(
        "model_stock",
        "model_stock of 3",
        ("base", "a", "b", "c"),
        '[merge.model_stock]\nmethod = "model_stock"\nbase = "base"\ninputs = ["a", "b", "c"]\n',
        (("model_stock", _mergekit_deltas("model_stock").replace(", parameters: {weight: 0.5, density: 0.5}", "")),),
        faster=Wanted(4, 8),
        slower=Wanted(4, 2.5),
    ),
    Workload(
        "breadcrumbs",
        "breadcrumbs of 3",
        ("base", "a", "b", "c"),
        _deltas("breadcrumbs", "breadcrumbs"),
        (("breadcrumbs", _mergekit_deltas("breadcrumbs")),),
        faster=Wanted(25, 40),
        slower=Wanted(4.5, 3),
    ),
    Workload(
        "della",
        "della of 3",
        ("base", "a", "b", "c"),
        _deltas("della", "della"),
        (("della", _mergekit_deltas("della")),),
        faster=Wanted(15, 30),
        slower=Wanted(8, 4),
    ),
    Workload(
        "graph",
        "two ties -> slerp -> slices, kept",
        ("base", "a", "b", "c"),
        _graph("").replace("NAME", "graph"),
        _MERGEKIT_GRAPH,
        stored=3,
        stacked=True,
        faster=Wanted(18, 30),
    ),
    Workload(
        "graph_unkept",
        "two ties -> slerp -> slices, not kept",
        ("base", "a", "b", "c"),
        _graph("keep = false").replace("NAME", "graph_unkept"),
        _MERGEKIT_GRAPH,
        stacked=True,
        faster=Wanted(25, 40),
        peer="graph",
    ),
)
WORKLOADS = {workload.name: workload for workload in _ALL}

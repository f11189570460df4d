"""The bound graph, as frozen data: every name known, every merge with its method, every parameter with a chain of settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from modelbuild.graph.targets import select
from modelbuild.method import Method
from modelbuild.modelfile.model import Merge, Modelfile, Setting
from modelbuild.names import KeyPath

if TYPE_CHECKING:
    import networkx

Chain = tuple[Setting, ...]
"""The settings that may give a parameter its value, most specific first; a default stands last as a rule of its own."""


class BoundInput(Struct, frozen=True):
    """A model that a slice reads: which layers (None: all of it), and a chain for each per-input parameter."""

    model: str
    layers: tuple[int, int] | None
    chains: Mapping[str, Chain]
    path: KeyPath


class BoundSlice(Struct, frozen=True):
    """Inputs merged by one method; a node without slices is one slice of whole models.

    Args:
        method: the node's, or passthrough for a slice of a single model.
        base: the name of what differences are taken to; "" where weights are merged.
        inputs: in order; with base "first" the base stands first among them.
        chains: for each node-wide parameter.
        path: where it stands.

    """

    method: Method
    base: str
    inputs: tuple[BoundInput, ...]
    chains: Mapping[str, Chain]
    path: KeyPath

    @property
    def roles(self) -> tuple[str, ...]:
        """The models it reads: the base, if there is one, and each input."""
        return (*((self.base,) if self.base else ()), *(one.model for one in self.inputs))

    @property
    def models(self) -> tuple[str, ...]:
        """The same, each once."""
        return tuple(dict.fromkeys(self.roles))


class Node(Struct, frozen=True):
    """A merge, complete: method known, inputs known to exist, every parameter with a chain.

    Args:
        merge: as written.
        slices: in order; of whole models there is one.
        seed: of random masks.
        template: the model whose chat template is taken, or "".

    """

    merge: Merge
    slices: tuple[BoundSlice, ...]
    seed: int
    template: str = ""

    @property
    def name(self) -> str:
        """Its name in the Modelfile."""
        return self.merge.name

    @property
    def whole(self) -> bool:
        """Whether it takes whole models rather than slices of their layers."""
        return not self.merge.slices

    @property
    def models(self) -> tuple[str, ...]:
        """All models it needs, in order of appearance."""
        merge = self.merge
        extra = (merge.base, merge.embed, merge.head, *merge.tokenizer.models, *merge.mixture.models, self.template)
        inputs = () if self.slices else tuple(one.model for one in merge.inputs)
        return tuple(dict.fromkeys([*(model for part in self.slices for model in part.models), *inputs, *filter(None, extra)]))


class Graph(Struct, frozen=True, dict=True):
    """The whole Modelfile, bound.

    Args:
        modelfile: what it was bound from.
        nodes: in an order in which each follows what it reads.
        notes: what was skipped on purpose.

    """

    modelfile: Modelfile
    nodes: Mapping[str, Node]
    notes: tuple[str, ...]

    @cached_property
    def digraph(self) -> networkx.DiGraph[str]:
        """Models as nodes (attribute `kind`: source or merge), an edge from each model to the merge that reads it."""
        return digraph_of(self.modelfile, self.nodes.values())

    @property
    def default(self) -> tuple[str, ...]:
        """The targets of a build that names none: `default`, else every merge that nobody reads."""
        read = {model for node in self.nodes.values() for model in node.models}
        return select(self.modelfile, self.modelfile.default) or tuple(name for name in self.nodes if name not in read)

    def upstream(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Return the merges that `targets` need, themselves included, in building order."""
        needed = set(targets)
        for node in reversed(tuple(self.nodes.values())):
            if node.name in needed:
                needed.update(node.models)
        return tuple(name for name in self.nodes if name in needed)


def digraph_of(modelfile: Modelfile, nodes: Iterable[Node]) -> networkx.DiGraph[str]:
    """Draw the graph of models that `nodes` make."""
    import networkx

    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_nodes_from(modelfile.sources, kind="source")
    digraph.add_nodes_from(modelfile.merges, kind="merge")
    digraph.add_edges_from((model, node.name) for node in nodes for model in node.models)
    return digraph

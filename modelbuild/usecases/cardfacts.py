"""What a model card says, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from modelbuild.modelfile.model import Merge
from modelbuild.usecases.graphing import GraphView
from modelbuild.usecases.licences import Joined
from modelbuild.usecases.published import Recipe
from modelbuild.usecases.recorded import Recorded


class Parent(Struct, frozen=True):
    """A model or an adapter that a target was made of.

    Args:
        name: in the Modelfile.
        repo: on a hub; "" of what lay elsewhere.
        commit: of that repository; "" where it is not known.
        root: digest over its tensors, or of its largest file; "" where neither is known.
        licence: that its card names, or "".

    """

    name: str
    repo: str
    commit: str
    root: str
    licence: str


class CardFacts(Struct, frozen=True):
    """All that a card says.

    Args:
        target: the merge.
        repo: where it is published; "" where that is not known.
        branch: of it; "" for main.
        parents: in the order of the Modelfile.
        licence: of them all.
        graph: with nothing in it that is this machine's alone.
        merges: those that the target rests on, itself last.
        config: the model's config.json.
        adapter: whether it is a LoRA adapter.
        tokenizer: whether it has one.
        tensors: how many it has.
        nbytes: of them.
        dtypes: of them.
        root: digest over them; "" where it was not built.
        recipe: what makes it.
        locked: whether there is a lock.
        imported: whether it is told by mergekit's configurations.
        alone: whether the recipe is published without weights.
        checks: that were made of it.

    """

    target: str
    repo: str
    branch: str
    parents: tuple[Parent, ...]
    licence: Joined
    graph: GraphView
    merges: tuple[Merge, ...]
    config: Mapping[str, Any]
    adapter: bool
    tokenizer: bool
    tensors: int
    nbytes: int
    dtypes: tuple[str, ...]
    root: str
    recipe: Recipe
    locked: bool
    imported: bool
    alone: bool = False
    checks: tuple[Recorded, ...] = ()

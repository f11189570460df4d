"""Models brought together before they are merged: called alike, as far as they are in scope, with heads where others have them.

The frame is the model whose names the result has: the first that has something outside the scope, else the base or first
input.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from modelbuild.checkpoint.anatomy import Anatomy, Part
from modelbuild.checkpoint.config import Config
from modelbuild.checkpoint.sections import at, replaced, sense_of, text_section
from modelbuild.errors import some
from modelbuild.graph import Node
from modelbuild.plan.actions import Ref
from modelbuild.plan.model import Model
from modelbuild.plan.resolve import pattern_of

TOWERS = ("text", "vision", "audio", "encoder", "decoder")
"""What `scope` may call a part of a model; anything else is a glob over names."""

_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|masked_bias|attn\.bias|position_ids)$")
"""Buffers that older versions of transformers wrote and every version computes; a tensor called `attn.bias` is one if it is square."""

TIED = "tie_word_embeddings"


class Fitted(Struct, frozen=True, dict=True):
    """The models of a node, brought together.

    Args:
        views: what is in scope of each, by the names of the frame, by model.
        anatomy: of the frame, the stack in scope first.
        frame: what the result is called like.
        donor: whose config and other files go along.
        outside: what is not in scope, of the frame.
        empty: models that have nothing in scope.
        untied: whether the result has a head though the donor's config says that it has none.
        equal: what must be equal: (label, refs).
        warnings: what was left out.

    """

    views: Mapping[str, Model]
    anatomy: Anatomy
    frame: Model
    donor: Model
    outside: Mapping[str, Ref]
    empty: tuple[str, ...]
    untied: bool
    equal: tuple[tuple[str, tuple[Ref, ...]], ...]
    warnings: tuple[str, ...]

    def own_anatomy(self, anatomy: Anatomy) -> Anatomy:
        """Return an anatomy with the stacks in the frame's own order."""
        order = [stack.prefix for stack in self.frame.anatomy.stacks]
        return Anatomy(tuple(sorted(anatomy.stacks, key=lambda stack: order.index(stack.prefix))))


def fitted(node: Node, models: Mapping[str, Model]) -> Fitted:
    """Bring the models together that a node merges, or takes embeddings or a head from."""
    merge = node.merge
    named = (merge.embed, merge.head, *(one.source for one in merge.tokenizer.tokens.values() if one.source in models))
    names = tuple(dict.fromkeys([*(name for part in node.slices for name in part.models), *filter(None, named)]))
    held = {name: in_scope(models[name], merge.scope) for name in names}
    frame = next((models[name] for name in names if len(held[name]) < len(models[name].tensors)), models[names[0]])
    anatomy = frame.anatomy.focused(held[frame.name]) if merge.scope else frame.anatomy
    framed = replace(frame, anatomy=anatomy)
    views, computed = without_computed([called_alike(framed, models[name], held[name]) for name in names])
    heads = with_heads(views)
    inside = set(held[frame.name])
    warning = f"`{merge.name}` leaves out {some(computed)}, which not all models have and every program computes"
    return Fitted(
        views=dict(zip(names, heads.models, strict=True)),
        anatomy=anatomy,
        frame=frame,
        donor=frame if merge.scope or not merge.base else models[merge.base],
        outside={name: ref for name, ref in frame.tensors.items() if name not in inside} if merge.scope else {},
        empty=tuple(name for name in names if not held[name]),
        untied=heads.untied,
        equal=heads.equal,
        warnings=(*((warning,) if computed else ()), *_parted(merge.name, heads, views)),
    )


def _parted(name: str, heads: Heads, views: Sequence[Model]) -> Iterator[str]:
    """Tell of heads that were tied and are not any more."""
    if heads.untied:
        tied = [f"`{view.name}`" for view in views if is_tied(view)]
        others = [f"`{view.name}`" for view in views if not is_tied(view)]
        yield f"`{name}` has a head of its own: it is the embedding in {', '.join(tied)}, and not in {', '.join(others)}"


def in_scope(model: Model, scope: str) -> tuple[str, ...]:
    """Return the names of a model's tensors that a scope speaks of; all of them where it is ""."""
    if not scope:
        return tuple(model.tensors)
    if scope not in TOWERS:
        pattern = pattern_of(scope)
        return tuple(name for name in model.tensors if pattern.search(name))
    anatomy = model.anatomy
    numbers = [i for i, stack in enumerate(anatomy.stacks) if _is_called(stack.prefix, scope)]
    if not numbers:
        return ()
    number = numbers[0]
    names = tuple(name for name in model.tensors if anatomy.tower_of(name) == number)
    rows = _rows(model) if scope == "text" else -1
    return (*names, *(name for name, ref in model.tensors.items() if anatomy.tower_of(name) < 0 and ref.shape and ref.shape[0] == rows))


def _is_called(prefix: str, scope: str) -> bool:
    if scope in ("encoder", "decoder"):
        return scope in prefix.split(".") and not sense_of(prefix)
    return sense_of(prefix) == scope.replace("text", "")


def _rows(model: Model) -> int:
    """Return how many rows the embedding of tokens has, or -1."""
    tokens = model.anatomy.tokens_of(model.tensors)
    return model.tensors[tokens].shape[0] if tokens else -1


def called_alike(frame: Model, other: Model, names: Collection[str]) -> Model:
    """Return those of a model's tensors that `names` lists, called as the frame calls its own.

    Layers go by their number in the stack; what stands outside them goes by what its name has in common with one of the
    frame's: `transformer.wte.weight` and `wte.weight`, `language_model.lm_head.weight` and `lm_head.weight`.
    """
    anatomy = _focused(other.anatomy, frame.anatomy, names)
    mine, theirs = frame.anatomy.main, anatomy.main
    if mine.prefix == theirs.prefix and len(names) == len(other.tensors):
        return other if anatomy == other.anatomy else replace(other, anatomy=anatomy)
    if mine.prefix == theirs.prefix:
        return replace(other, tensors={name: other.tensors[name] for name in names}, anatomy=anatomy)

    def name_of(name: str) -> str:
        if anatomy.place_of(name)[0] == 0:
            return mine.prefix + name[len(theirs.prefix) :]
        stemmed = mine.stem + name[len(theirs.stem) :] if name.startswith(theirs.stem) else name
        if stemmed in frame.tensors:
            return stemmed
        if name in frame.tensors:
            return name
        like = [own for own in frame.tensors if own.endswith(f".{name}") or name.endswith(f".{own}")]
        return like[0] if len(like) == 1 else name

    renamed = {name_of(name): other.tensors[name] for name in names}
    return replace(other, tensors=renamed, anatomy=Anatomy((replace(mine, layers=theirs.layers), *frame.anatomy.stacks[1:])))


def _focused(anatomy: Anatomy, like: Anatomy, names: Collection[str]) -> Anatomy:
    """Have the stack first that is called like the frame's first; else the first that is in scope."""
    same = [stack for stack in anatomy.stacks if stack.prefix == like.main.prefix]
    if same:
        return Anatomy((*same, *(stack for stack in anatomy.stacks if stack is not same[0])))
    return anatomy.focused(names)


class Heads(Struct, frozen=True, dict=True):
    """What becomes of heads where some models tie them to the embedding.

    Args:
        models: with a head wherever the result has one.
        untied: whether the result has a head though its config says that it has none.
        equal: heads that must be the embedding, for their models say so: (label, refs).

    """

    models: tuple[Model, ...]
    untied: bool
    equal: tuple[tuple[str, tuple[Ref, ...]], ...]


def with_heads(models: Sequence[Model]) -> Heads:
    """Give each model a head if one of them has its own: that of a tied model is its embedding.

    A head that all models say is tied is left out, and must be equal to the embedding.
    """
    tokens = models[0].anatomy.tokens_of(models[0].tensors)
    held = dict.fromkeys(name for model in models for name in _heads(model, tokens))
    if not held or not tokens:
        return Heads(tuple(models), untied=False, equal=())
    if all(is_tied(model) for model in models):
        pairs = [(model, name) for model in models for name in held if name in model.tensors]
        equal = tuple((f"{model.name}::{name}", (model.tensors[name], model.tensors[tokens])) for model, name in pairs)
        return Heads(tuple(_without(model, held) for model in models), untied=False, equal=equal)
    given = [
        replace(model, tensors={**model.tensors, **{name: model.tensors[tokens] for name in held if name not in model.tensors}})
        if tokens in model.tensors and tied_in(model.config) is not False
        else model
        for model in models
    ]
    return Heads(tuple(given), untied=any(map(is_tied, models)), equal=())


def _heads(model: Model, tokens: str) -> Iterator[str]:
    """Yield the names of tensors that could be tied to the embedding of tokens."""
    embedding = model.tensors.get(tokens)
    if embedding is None or len(embedding.shape) != 2:
        return
    anatomy = model.anatomy
    for name, ref in model.tensors.items():
        if ref.shape == embedding.shape and anatomy.part_of(name) is Part.HEAD and not anatomy.is_aside(name):
            yield name


def _without(model: Model, names: Collection[str]) -> Model:
    return replace(model, tensors={name: ref for name, ref in model.tensors.items() if name not in names})


def is_tied(model: Model) -> bool:
    """Tell whether a model's head is its embedding: its config says so, or says nothing and there is none."""
    said = tied_in(model.config)
    return not any(_heads(model, model.anatomy.tokens_of(model.tensors))) if said is None else said


def tied_in(config: Config) -> bool | None:
    """Return what a config says of the head, or None."""
    for section in (config, at(config, text_section(config))):
        if isinstance(section.get(TIED), bool):
            return bool(section[TIED])
    return None


def with_own_head(config: Config) -> Config:
    """State that the head is not the embedding."""
    path = text_section(config)
    changed = {**config, TIED: False}
    return replaced(changed, path, {**at(changed, path), TIED: False}) if path and TIED in at(config, path) else changed


def without_computed(models: Sequence[Model]) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    """Leave out the buffers that only some models have and that are computed anyway; return their names as well."""
    partial = [
        name
        for name, refs in _spread(models).items()
        if len(refs) < len(models) and _COMPUTED.search(name) and (not name.endswith("attn.bias") or _is_square(refs[0].shape))
    ]
    return (tuple(_without(model, partial) for model in models), tuple(partial)) if partial else (tuple(models), ())


def _spread(models: Sequence[Model]) -> Mapping[str, list[Ref]]:
    """Return, by name, the tensors of all models that have it; {} where all have the same names."""
    if all(model.tensors.keys() == models[0].tensors.keys() for model in models[1:]):
        return {}
    spread: dict[str, list[Ref]] = {}
    for model in models:
        for name, ref in model.tensors.items():
            spread.setdefault(name, []).append(ref)
    return spread


def _is_square(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[-1] == shape[-2]

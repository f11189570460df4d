"""From validated tables to what the other floors read: frozen, with names and paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.checkpoint.dtypes import BY_TORCH_NAME
from modelbuild.modelfile import schema, values
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import (
    AdapterSource,
    CacheSettings,
    Expert,
    Gradient,
    Input,
    Merge,
    Mixture,
    Modelfile,
    Output,
    Rule,
    Scalar,
    Setting,
    Slice,
    Source,
    Tokenizer,
    TokenSource,
)
from modelbuild.names import KeyPath

if TYPE_CHECKING:
    from modelbuild.modelfile.matrix import Variant


def convert(
    table: schema.GraphTable, path: Path, locator: Locator, notes: tuple[str, ...] = (), variants: Mapping[str, Variant] | None = None
) -> Modelfile:
    """Return the Modelfile that a valid table describes; `variants` are those of its merges that a matrix made."""
    variants = variants or {}
    cache = table.cache or schema.CacheTable()
    modelfile = Modelfile(
        path=path,
        default=tuple(table.default or ()),
        seed=table.seed,
        sources={name: _source(name, source) for name, source in table.source.items()},
        adapters={one.name: one for name, source in table.source.items() for one in _adapters(name, source)},
        merges={name: _merge(name, merge, variants.get(name)) for name, merge in table.merge.items()},
        cache=CacheSettings(cache.path or "", cache.max_size or 0),
        locator=locator,
        notes=notes,
        groups={name: tuple(members) for name, members in table.group.items()},
    )
    if type(table) is schema.GraphTable:
        return modelfile
    from modelbuild.modelfile.convert_after import with_after

    return with_after(modelfile, table)


def _source(name: str, table: schema.SourceTable) -> Source:
    adapters = tuple(one.name for one in _adapters(name, table))
    return Source(name, table.location, ("source", name), table.fetch == "ranges", table.pickles is not None, adapters)


def _adapters(name: str, table: schema.SourceTable) -> tuple[AdapterSource, ...]:
    """Read a source's adapters; no source of the user's can have their names."""
    return tuple(
        AdapterSource(f"{name} (adapter {i + 1})", one.location, ("source", name, "adapters", i), scale=float(one.scale))
        for i, one in enumerate(table.adapters)
    )


def _merge(name: str, table: schema.MergeTable, variant: Variant | None) -> Merge:
    path: KeyPath = ("merge", name)
    output = table.output or schema.OutputTable()
    return Merge(
        name=name,
        method=table.method,
        base=table.base or "",
        inputs=tuple(_input(entry, (*path, "inputs", index)) for index, entry in enumerate(table.inputs or ())),
        slices=tuple(_slice(entry, (*path, "slices", index)) for index, entry in enumerate(table.slices or ())),
        params=_params(table, path),
        dtype=_code(table.dtype),
        seed=table.seed,
        keep=table.keep,
        lenient=table.nonfinite == "allow",
        embed=table.embed or "",
        head=table.head or "",
        scope=table.scope or "",
        tokenizer=_tokenizer(table.tokenizer or schema.TokenizerTable(), (*path, "tokenizer")),
        common=table.vocabulary == "common",
        output=Output(output.path or "", output.shard_size or 0, _code(output.dtype), output.push or ""),
        path=path,
        mixture=_mixture(table, path),
        sweep=variant.merge if variant else "",
        point={key: tuple(value) if isinstance(value, list) else value for key, value in variant.values.items()} if variant else {},
    )


def _mixture(table: schema.MergeTable, path: KeyPath) -> Mixture:
    def experts(key: str, listed: list[schema.ExpertTable]) -> tuple[Expert, ...]:
        return tuple(
            Expert(one.model, tuple(one.positive_prompts), tuple(one.negative_prompts), (*path, key, i)) for i, one in enumerate(listed)
        )

    named, shared = experts("experts", table.experts or []), experts("shared_experts", table.shared_experts)
    return Mixture(named, shared, table.gate or "hidden", table.experts_per_token or min(2, len(named) or 2))


def _tokenizer(table: schema.TokenizerTable, path: KeyPath) -> Tokenizer:
    tokens = {token: _token_source(one, (*path, "tokens", token, "source")) for token, one in table.tokens.items()}
    return Tokenizer(table.source or "", tokens, table.pad_to_multiple_of or 0, table.chat_template or "")


def _token_source(table: schema.TokenTable, path: KeyPath) -> TokenSource:
    return TokenSource(table.source, table.token or "", table.force, path, -1 if table.id is None else table.id)


def _input(table: schema.InputTable, path: KeyPath) -> Input:
    layers = _span(table.layers) if isinstance(table, schema.SliceInputTable) else None
    return Input(table.model, _params(table, path), layers, path)


def _slice(table: schema.SliceTable, path: KeyPath) -> Slice:
    """Read a slice; one of a single model is its only input, and what stands beside `model` belongs to the slice."""
    inputs = tuple(_input(entry, (*path, "inputs", index)) for index, entry in enumerate(table.inputs or ()))
    if table.model:
        inputs = (Input(table.model, {}, _span(table.layers), path),)
    return Slice(inputs, table.base or "", _params(table, path), path)


def _params(table: schema.ParameterTable, path: KeyPath) -> Mapping[str, Setting]:
    return {name: _setting(value, (*path, name)) for name, value in table.params.items()}


def _setting(value: schema.Setting, path: KeyPath) -> Setting:
    if isinstance(value, list) and isinstance(value[0], schema.RuleTable):
        return tuple(_rule(rule, (*path, index)) for index, rule in enumerate(value))
    return (Rule(_value(value), "", None, path),)


def _rule(table: schema.RuleTable, path: KeyPath) -> Rule:
    outside = None if table.outside is None else float(table.outside)
    return Rule(_value(table.value), table.filter or "", _span(table.layers), path, outside)


def _value(value: values.Value) -> Scalar | Gradient:
    return tuple(value) if isinstance(value, list) else value


def _span(layers: list[int] | None) -> tuple[int, int] | None:
    return (layers[0], layers[1]) if layers else None


def _code(dtype: str | None) -> str:
    """Return safetensors' code for one of torch's names."""
    return BY_TORCH_NAME[dtype] if dtype else ""

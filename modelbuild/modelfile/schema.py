"""The Modelfile's keys: what each may hold.  What spans several keys is in `checks`."""

from typing import Annotated, Any, Literal

from msgspec import field

from modelbuild.modelfile.kinds import Kind, either, judged, listed
from modelbuild.modelfile.tables import REST, Table, at_least_one, bare, table_kind
from modelbuild.modelfile.values import (
    INTEGER,
    VALUES,
    AnyValue,
    Count,
    HubText,
    NodeName,
    Number,
    PathText,
    Row,
    Seed,
    Size,
    Span,
    Text,
    Value,
    value_kind,
)

FORMAT_VERSION = 1
"""The version of the format that this program reads."""

_VERSION = judged(INTEGER, lambda version: None if version == FORMAT_VERSION else "version", lambda definitions: {"const": FORMAT_VERSION})

Dtype = Literal["float32", "float16", "bfloat16", "float64"]


class RuleTable(Table, frozen=True):
    """One rule of a parameter: where it holds, and the value there."""

    value: Value
    filter: Text | None = None
    layers: Span | None = None
    outside: Number | None = None


_RULES = listed(table_kind(RuleTable))


def _setting(value: object) -> Kind | None:
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        return _RULES
    return value_kind(value)


Setting = Annotated[AnyValue | list[RuleTable], either("setting", (*VALUES, _RULES), _setting)]


class ParameterTable(Table, frozen=True, kw_only=True):
    """A table in which every key that is not ours is a parameter of the method."""

    params: Annotated[dict[str, Setting], REST] = {}
    """The method's parameters, in the order they were written."""


class InputTable(ParameterTable, frozen=True):
    """A model that a merge reads."""

    model: Text


class SliceInputTable(InputTable, frozen=True):
    """A model that a slice reads, and which of its layers."""

    layers: Span


class SliceTable(ParameterTable, frozen=True):
    """Some layers of the output: `model` and `layers`, or `inputs`."""

    model: Text | None = None
    layers: Span | None = None
    inputs: Annotated[list[SliceInputTable], at_least_one] | None = None
    base: Text | None = None


class TokenTable(Table, frozen=True):
    """Where the rows of a token come from."""

    source: Text
    token: Text | None = None
    id: Row | None = None
    force: bool = False


class TokenizerTable(Table, frozen=True):
    """Which tokens the result has, and where their rows come from."""

    source: Text | None = None
    tokens: dict[Text, TokenTable] = {}
    pad_to_multiple_of: Count | None = None
    chat_template: Text | None = None


class ExpertTable(Table, frozen=True):
    """A model whose layers become an expert, and the texts that are its to answer, or not."""

    model: Text
    positive_prompts: list[Text] = []
    negative_prompts: list[Text] = []


class OutputTable(Table, frozen=True):
    """Where and how a target is written."""

    path: PathText | None = None
    shard_size: Size | None = None
    dtype: Dtype | None = None
    push: HubText | None = None


class AdapterTable(Table, frozen=True):
    """A LoRA adapter that a source is read with."""

    location: PathText = field(name="from")
    scale: Number = 1.0


class SourceTable(Table, frozen=True):
    """A checkpoint that is read and never written."""

    location: PathText = field(name="from")
    adapters: list[AdapterTable] = []
    fetch: Literal["files", "ranges"] = "files"
    pickles: Literal["weights_only"] | None = None


class MergeTable(ParameterTable, frozen=True):
    """A merge of models."""

    method: Text
    base: Text | None = None
    inputs: Annotated[list[Annotated[InputTable, bare("model", schema={"type": "string"})]], at_least_one] | None = None
    slices: Annotated[list[SliceTable], at_least_one] | None = None
    dtype: Dtype | None = None
    seed: Seed | None = None
    keep: bool = True
    nonfinite: Literal["error", "allow"] = "error"
    embed: Text | None = None
    head: Text | None = None
    scope: Text | None = None
    tokenizer: TokenizerTable | None = None
    vocabulary: Literal["common"] | None = None
    experts: Annotated[list[Annotated[ExpertTable, bare("model")]], at_least_one] | None = None
    shared_experts: list[Annotated[ExpertTable, bare("model")]] = []
    gate: Literal["hidden", "cheap_embed", "random"] | None = None
    experts_per_token: Count | None = None
    output: OutputTable | None = None
    matrix: dict[str, Any] | None = None
    """Never here when it is read: see `modelbuild.modelfile.matrix`."""


class CacheTable(Table, frozen=True):
    """Where the cache is and how large it may grow."""

    path: PathText | None = None
    max_size: Size | None = None


class GraphTable(Table, frozen=True):
    """A Modelfile that says nothing of what comes after merges: see `modelbuild.modelfile.after` for one that does."""

    version: Annotated[int, _VERSION] = FORMAT_VERSION
    default: Annotated[list[Text], at_least_one] | None = None
    seed: Seed = 0
    vars: dict[str, Any] = {}
    source: dict[NodeName, SourceTable] = {}
    merge: dict[NodeName, MergeTable] = {}
    group: dict[NodeName, Annotated[list[Text], at_least_one]] = {}
    cache: CacheTable | None = None

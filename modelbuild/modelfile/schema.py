"""The Modelfile's keys, as pydantic models: what each may hold.  What spans several keys is in `checks`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from modelbuild.modelfile.values import (
    AnyValue,
    Count,
    HubText,
    Integer,
    NodeName,
    Number,
    PathText,
    Row,
    Seed,
    Size,
    Span,
    Table,
    Text,
    Value,
    value_kind,
)

FORMAT_VERSION = 1
"""The version of the format that this program reads."""


def _version(version: int) -> int:
    if version != FORMAT_VERSION:
        raise PydanticCustomError("version", "another version")
    return version


def _named(value: object) -> object:
    """Read a bare name as { model = NAME }."""
    return {"model": value} if isinstance(value, str) else value


def _setting_kind(value: object) -> str | None:
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        return "rules"
    return value_kind(value)


Dtype = Literal["float32", "float16", "bfloat16", "float64"]


class RuleTable(Table):
    """One rule of a parameter: where it holds, and the value there."""

    value: Value
    filter: Text | None = None
    layers: Span | None = None
    outside: Number | None = None


Setting = Annotated[
    AnyValue | Annotated[list[RuleTable], Tag("rules")],
    Discriminator(_setting_kind, custom_error_type="setting", custom_error_message="not a setting"),
]


class ParameterTable(Table):
    """A table in which every key that is not ours is a parameter of the method."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Setting] = Field(init=False)

    @property
    def params(self) -> dict[str, Setting]:
        """The method's parameters, in the order they were written."""
        return self.__pydantic_extra__


class InputTable(ParameterTable):
    """A model that a merge reads."""

    model: Text


class SliceInputTable(InputTable):
    """A model that a slice reads, and which of its layers."""

    layers: Span


class SliceTable(ParameterTable):
    """Some layers of the output: `model` and `layers`, or `inputs`."""

    model: Text | None = None
    layers: Span | None = None
    inputs: Annotated[list[SliceInputTable], Field(min_length=1)] | None = None
    base: Text | None = None


class TokenTable(Table):
    """Where the rows of a token come from."""

    source: Text
    token: Text | None = None
    id: Row | None = None
    force: bool = False


class TokenizerTable(Table):
    """Which tokens the result has, and where their rows come from."""

    source: Text | None = None
    tokens: dict[Text, TokenTable] = {}
    pad_to_multiple_of: Count | None = None
    chat_template: Text | None = None


class ExpertTable(Table):
    """A model whose layers become an expert, and the texts that are its to answer, or not."""

    model: Text
    positive_prompts: list[Text] = []
    negative_prompts: list[Text] = []


class OutputTable(Table):
    """Where and how a target is written."""

    path: PathText | None = None
    shard_size: Size | None = None
    dtype: Dtype | None = None
    push: HubText | None = None


class AdapterTable(Table):
    """A LoRA adapter that a source is read with."""

    location: PathText = Field(alias="from")
    scale: Number = 1.0


class SourceTable(Table):
    """A checkpoint that is read and never written."""

    location: PathText = Field(alias="from")
    adapters: list[AdapterTable] = []
    fetch: Literal["files", "ranges"] = "files"
    pickles: Literal["weights_only"] | None = None


class MergeTable(ParameterTable):
    """A merge of models."""

    method: Text
    base: Text | None = None
    inputs: (
        Annotated[
            list[Annotated[InputTable, BeforeValidator(_named, json_schema_input_type=str | InputTable)]],
            Field(min_length=1),
        ]
        | None
    ) = None
    slices: Annotated[list[SliceTable], Field(min_length=1)] | None = None
    dtype: Dtype | None = None
    seed: Seed | None = None
    keep: bool = True
    nonfinite: Literal["error", "allow"] = "error"
    embed: Text | None = None
    head: Text | None = None
    scope: Text | None = None
    tokenizer: TokenizerTable | None = None
    vocabulary: Literal["common"] | None = None
    experts: Annotated[list[Annotated[ExpertTable, BeforeValidator(_named)]], Field(min_length=1)] | None = None
    shared_experts: list[Annotated[ExpertTable, BeforeValidator(_named)]] = []
    gate: Literal["hidden", "cheap_embed", "random"] | None = None
    experts_per_token: Count | None = None
    output: OutputTable | None = None
    matrix: dict[str, Any] | None = None
    """Never here when it is read: see `modelbuild.modelfile.matrix`."""


class CacheTable(Table):
    """Where the cache is and how large it may grow."""

    path: PathText | None = None
    max_size: Size | None = None


class GraphTable(Table):
    """A Modelfile that says nothing of what comes after merges: see `modelbuild.modelfile.after` for one that does."""

    version: Annotated[Integer, AfterValidator(_version), WithJsonSchema({"const": FORMAT_VERSION})] = FORMAT_VERSION
    default: Annotated[list[Text], Field(min_length=1)] | None = None
    seed: Seed = 0
    vars: dict[str, Any] = {}
    source: dict[NodeName, SourceTable] = {}
    merge: dict[NodeName, MergeTable] = {}
    group: dict[NodeName, Annotated[list[Text], Field(min_length=1)]] = {}
    cache: CacheTable | None = None

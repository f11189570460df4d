"""The Modelfile's keys, as pydantic models: what each may hold.  What spans several keys is in `checks`."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from modelbuild.names import is_node_name, parse_size
from modelbuild.sources.hub import is_address

FORMAT_VERSION = 1
"""The version of the format that this program reads."""


def _fitting(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise PydanticCustomError("integer_size", "beyond 64 bits")
    return value


def _finite(value: float) -> float:
    if not isfinite(value):
        raise PydanticCustomError("finite", "not finite")
    return value


def _node_name(name: str, info: ValidationInfo) -> str:
    made = name in (info.context or ())
    if not made and not is_node_name(name):
        raise PydanticCustomError("node_name", "not a name")
    return name


def _path(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("path_nul", "not a path")
    return text


def _hub(text: str) -> str:
    if not is_address(text):
        raise PydanticCustomError("hub", "no place on the hub")
    return text


def _span(layers: list[int]) -> list[int]:
    if len(layers) != 2:
        raise PydanticCustomError("span_length", "not two integers")
    first, stop = layers
    if first < 0 or stop < 0:
        raise PydanticCustomError("span_negative", "negative")
    if first >= stop:
        raise PydanticCustomError("span_empty", "holds no layer")
    return layers


def _size(text: object) -> int:
    try:
        if isinstance(text, str):
            return parse_size(text)
    except (ValueError, OverflowError):
        pass  # worded below, as what is no text at all
    raise PydanticCustomError("size", "not a size")


def _version(version: int) -> int:
    if version != FORMAT_VERSION:
        raise PydanticCustomError("version", "another version")
    return version


def _named(value: object) -> object:
    """Read a bare name as { model = NAME }."""
    return {"model": value} if isinstance(value, str) else value


def _told(value: object) -> object:
    """Read a bare prompt as { text = PROMPT }."""
    return {"text": value} if isinstance(value, str) else value


def _values(value: object) -> object:
    """Read a list as { values = LIST }."""
    return {"values": value} if isinstance(value, list) else value


def _listed(value: object) -> object:
    """Read a single name as a list of it."""
    return [value] if isinstance(value, str) else value


def _number_kind(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    return "int" if isinstance(value, int) else "float" if isinstance(value, float) else None


def _bound_kind(value: object) -> str | None:
    return "str" if isinstance(value, str) else _number_kind(value)


def _value_kind(value: object) -> str | None:
    if isinstance(value, list):
        return "gradient" if any(map(_number_kind, value)) else None
    if isinstance(value, bool):
        return "bool"
    return "str" if isinstance(value, str) else _number_kind(value)


def _setting_kind(value: object) -> str | None:
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        return "rules"
    return _value_kind(value)


Text = Annotated[str, Field(min_length=1)]
PathText = Annotated[Text, AfterValidator(_path)]
HubText = Annotated[Text, AfterValidator(_hub), WithJsonSchema({"type": "string", "pattern": "^hf://[^/@]+/[^/@]+(@.+)?$"})]
Integer = Annotated[int, AfterValidator(_fitting)]
Float = Annotated[float, AfterValidator(_finite)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]
Count = Annotated[Integer, Field(gt=0), WithJsonSchema({"type": "integer", "minimum": 1})]
Row = Annotated[int, Field(ge=0, lt=2**31)]
Size = Annotated[
    int,
    PlainValidator(_size),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]?[Bb]|[KMGTkmgt][Ii][Bb])?\s*$"}),
]
Span = Annotated[
    list[Integer],
    AfterValidator(_span),
    WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}),
]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]
NodeName = Annotated[str, AfterValidator(_node_name)]

Number = Annotated[
    Annotated[Integer, Tag("int")] | Annotated[Float, Tag("float")],
    Discriminator(_number_kind, custom_error_type="number", custom_error_message="not a number"),
]
_Value = (
    Annotated[bool, Tag("bool")]
    | Annotated[Integer, Tag("int")]
    | Annotated[Float, Tag("float")]
    | Annotated[str, Tag("str")]
    | Annotated[list[Number], Tag("gradient")]
)
Value = Annotated[_Value, Discriminator(_value_kind, custom_error_type="value", custom_error_message="not a value")]
Bound = Annotated[
    Annotated[Integer, Tag("int")] | Annotated[Float, Tag("float")] | Annotated[Text, Tag("str")],
    Discriminator(_bound_kind, custom_error_type="bound", custom_error_message="not a bound"),
]
Names = Annotated[list[Text], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class Table(BaseModel):
    """A table of the Modelfile: no value is converted to fit, no key is ignored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RuleTable(Table):
    """One rule of a parameter: where it holds, and the value there."""

    value: Value
    filter: Text | None = None
    layers: Span | None = None
    outside: Number | None = None


Setting = Annotated[
    _Value | Annotated[list[RuleTable], Tag("rules")],
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


class ExportTable(Table):
    """A target in another form."""

    of: Text
    format: Literal["gguf", "fp8", "int8", "int4", "command"]
    type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "mxfp4", "tq2_0", "tq1_0"] | None = None
    pre_tokenizer: Text | None = None
    scales: Literal["channel", "tensor"] | None = None
    converter: Annotated[list[Text], Field(min_length=1)] | None = None
    path: PathText | None = None


class PromptTable(Table):
    """A prompt, with patterns that its answer alone is held against."""

    text: Text
    require: list[Text] = []
    forbid: list[Text] = []


class CheckTable(Table):
    """What is measured of models, and the bounds; which keys go with which kind is in `check_keys`."""

    kind: Literal["loads", "finite", "generate", "perplexity", "lm_eval", "command"]
    of: Names | None = None
    parents: list[Text] | None = None
    min: Bound | None = None
    max: Bound | None = None
    retention: Bound | None = None
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    metric: Text | None = None
    prompts: (
        Annotated[
            list[Annotated[PromptTable, BeforeValidator(_told, json_schema_input_type=str | PromptTable)]],
            Field(min_length=1),
        ]
        | None
    ) = None
    require: list[Text] = []
    forbid: list[Text] = []
    max_repetition: Number | None = None
    max_new_tokens: Count = 64
    chat: bool = False
    text: Names | None = None
    tensors: list[Text] = []
    window: Count = 1024
    stride: Count | None = None
    tasks: Names | None = None
    limit: Count | None = None
    shots: Row | None = None
    batch_size: Count = 8
    unsafe: bool = False
    run: Names | None = None
    files: list[Text] = []
    timeout: Count = 3600
    better: Literal["higher", "lower"] = "higher"


class RangeTable(Table):
    """What a search may set a key to: one of `values`, or what lies between `low` and `high`."""

    values: Annotated[list[Value], Field(min_length=1)] | None = None
    low: Number | None = None
    high: Number | None = None
    step: Number | None = None
    log: bool = False


class SearchTable(Table):
    """A search for the values of a merge's keys that some checks like best."""

    of: Text
    objective: Names
    space: Annotated[dict[Text, Annotated[RangeTable, BeforeValidator(_values)]], Field(min_length=1)]
    sampler: Literal["grid", "random", "tpe", "nsga2"] = "random"
    trials: Count = 30
    seed: Seed = 0


class CacheTable(Table):
    """Where the cache is and how large it may grow."""

    path: PathText | None = None
    max_size: Size | None = None


class ModelfileTable(Table):
    """The whole Modelfile."""

    version: Annotated[Integer, AfterValidator(_version), WithJsonSchema({"const": FORMAT_VERSION})] = FORMAT_VERSION
    default: Annotated[list[Text], Field(min_length=1)] | None = None
    seed: Seed = 0
    vars: dict[str, Any] = {}
    source: dict[NodeName, SourceTable] = {}
    merge: dict[NodeName, MergeTable] = {}
    check: dict[NodeName, CheckTable] = {}
    search: dict[NodeName, SearchTable] = {}
    group: dict[NodeName, Annotated[list[Text], Field(min_length=1)]] = {}
    export: dict[NodeName, ExportTable] = {}
    cache: CacheTable | None = None


def keys_of(table: type[Table]) -> tuple[str, ...]:
    """Return the keys of a table as the Modelfile spells them, in the order of the schema."""
    return tuple(field.alias or name for name, field in table.model_fields.items())

"""What a key of the Modelfile may hold: the kinds of values, and the table that all tables are."""

from __future__ import annotations

from math import isfinite
from typing import Annotated

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


def _share(number: float) -> float:
    if not 0 <= number <= 1:
        raise PydanticCustomError("share", "not a share")
    return number


def _listed(value: object) -> object:
    """Read a single name as a list of it."""
    return [value] if isinstance(value, str) else value


def _number_kind(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    return "int" if isinstance(value, int) else "float" if isinstance(value, float) else None


def _bound_kind(value: object) -> str | None:
    return "str" if isinstance(value, str) else _number_kind(value)


def value_kind(value: object) -> str | None:
    """Return the tag of a value, None where it is none."""
    if isinstance(value, list):
        return "gradient" if any(map(_number_kind, value)) else None
    if isinstance(value, bool):
        return "bool"
    return "str" if isinstance(value, str) else _number_kind(value)


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
NodeName = Annotated[str, AfterValidator(_node_name)]

Number = Annotated[
    Annotated[Integer, Tag("int")] | Annotated[Float, Tag("float")],
    Discriminator(_number_kind, custom_error_type="number", custom_error_message="not a number"),
]
Share = Annotated[Number, AfterValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
AnyValue = (
    Annotated[bool, Tag("bool")]
    | Annotated[Integer, Tag("int")]
    | Annotated[Float, Tag("float")]
    | Annotated[str, Tag("str")]
    | Annotated[list[Number], Tag("gradient")]
)
Value = Annotated[AnyValue, Discriminator(value_kind, custom_error_type="value", custom_error_message="not a value")]
Bound = Annotated[
    Annotated[Integer, Tag("int")] | Annotated[Float, Tag("float")] | Annotated[Text, Tag("str")],
    Discriminator(_bound_kind, custom_error_type="bound", custom_error_message="not a bound"),
]
Names = Annotated[list[Text], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class Table(BaseModel):
    """A table of the Modelfile: no value is converted to fit, no key is ignored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


def keys_of(table: type[Table]) -> tuple[str, ...]:
    """Return the keys of a table as the Modelfile spells them, in the order of the schema."""
    return tuple(field.alias or name for name, field in table.model_fields.items())

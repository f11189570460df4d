"""What a key of the Modelfile may hold: the kinds of values."""

from math import isfinite
from typing import Annotated, Any

from modelbuild.modelfile.kinds import STRING, TRUTH, Kind, Reading, Reason, either, judged, listed, plain
from modelbuild.names import KeyPath, is_node_name, parse_size
from modelbuild.sources.hub import is_address


def _text(text: str) -> Reason | None:
    if not text:
        return "empty text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "unicode"
    return None


def _path(text: str) -> Reason | None:
    return _text(text) or ("path" if "\0" in text else None)


def _hub(text: str) -> Reason | None:
    return _text(text) or (None if is_address(text) else "hub")


def _integer(value: int) -> Reason | None:
    return None if -(2**63) <= value < 2**64 else "integer size"


def _positive(value: int) -> Reason | None:
    return _integer(value) or (None if value > 0 else "positive")


def _finite(value: float) -> Reason | None:
    return None if isfinite(value) else "finite"


def _layers(layers: list[int]) -> Reason | None:
    if len(layers) != 2:
        return "two layers"
    if min(layers) < 0:
        return "layer"
    return "no layer" if layers[0] >= layers[1] else None


def _share(number: float) -> Reason | None:
    return None if 0 <= number <= 1 else "share"


def _read_size(text: Any, path: KeyPath, reading: Reading) -> Any:
    try:
        if isinstance(text, str):
            return parse_size(text)
    except (ValueError, OverflowError):
        pass  # worded as what is no text at all
    return reading.refuse("size", path, text)


def _read_name(name: Any, path: KeyPath, reading: Reading) -> Any:
    return name if name in reading.made or is_node_name(name) else reading.refuse("name", path, name)


def _read_names(value: Any, path: KeyPath, reading: Reading) -> Any:
    """Read a single name as a list of it."""
    return [TEXT.read(value, path, reading)] if isinstance(value, str) else _NAMES.read(value, path, reading)


def _number(value: object) -> Kind | None:
    if isinstance(value, bool):
        return None
    return INTEGER if isinstance(value, int) else FLOAT if isinstance(value, float) else None


def _bound(value: object) -> Kind | None:
    return TEXT if isinstance(value, str) else _number(value)


def value_kind(value: object) -> Kind | None:
    """Return the kind that a value is meant to be of, None where it is none."""
    if isinstance(value, list):
        return GRADIENT if any(map(_number, value)) else None
    if isinstance(value, bool):
        return TRUTH
    return STRING if isinstance(value, str) else _number(value)


_PUSHED = r"^hf://[^/@]+/[^/@]+(@.+)?$"
_SIZE = r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]?[Bb]|[KMGTkmgt][Ii][Bb])?\s*$"
_NAMED = {"anyOf": [{"type": "string"}, {"items": {"type": "string"}, "type": "array"}]}
_SPAN = {"items": {"minimum": 0, "type": "integer"}, "maxItems": 2, "minItems": 2, "type": "array"}
_SOME = {"minLength": 1, "type": "string"}

TEXT = plain(str, "text", _SOME, _text)
INTEGER = plain(int, "integer", {"type": "integer"}, _integer)
FLOAT = plain(float, "number", {"type": "number"}, _finite)
NUMBER = either("number", (INTEGER, FLOAT), _number)
GRADIENT = listed(NUMBER)
VALUES = (TRUTH, INTEGER, FLOAT, STRING, GRADIENT)
_NAMES = judged(listed(TEXT), lambda names: None if names else "empty list", lambda definitions: _NAMED)


def _natural(stop: int, reason: Reason) -> Kind:
    within: dict[str, Any] = {"exclusiveMaximum": stop, "minimum": 0, "type": "integer"}
    return plain(int, "integer", within, lambda value: None if 0 <= value < stop else reason)


Text = Annotated[str, TEXT]
PathText = Annotated[str, plain(str, "text", _SOME, _path)]
HubText = Annotated[str, plain(str, "text", {"pattern": _PUSHED, "type": "string"}, _hub)]
Seed = Annotated[int, _natural(2**64, "natural")]
Count = Annotated[int, plain(int, "integer", {"minimum": 1, "type": "integer"}, _positive)]
Row = Annotated[int, _natural(2**31, "row")]
Size = Annotated[int, Kind(_read_size, lambda definitions: {"pattern": _SIZE, "type": "string"})]
Span = Annotated[list[int], judged(listed(INTEGER), _layers, lambda definitions: _SPAN)]
NodeName = Annotated[str, Kind(_read_name, lambda definitions: {"type": "string"})]
Number = Annotated[int | float, NUMBER]
Share = Annotated[int | float, judged(NUMBER, _share, lambda definitions: {"maximum": 1, "minimum": 0, "type": "number"})]
AnyValue = bool | int | float | str | list[int | float]
Value = Annotated[AnyValue, either("value", VALUES, value_kind)]
Bound = Annotated[int | float | str, either("bound", (INTEGER, FLOAT, TEXT), _bound)]
Names = Annotated[list[str], Kind(_read_names, lambda definitions: _NAMED)]

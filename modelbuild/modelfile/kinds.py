"""What values are made of: a kind reads what TOML has, or refuses it, and tells its JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, Literal

from msgspec import Struct

from modelbuild.names import KeyPath

Schema = dict[str, Any]

Reason = Literal[
    "missing", "unknown", "name", "version", "empty text", "empty list", "no layer", "choice",
    "truth", "integer", "text", "list", "table", "number", "finite", "integer size", "natural", "row", "positive", "path", "unicode",
    "two layers", "layer", "bound", "hub", "share", "size", "value", "setting",
]  # fmt: skip
"""Why something is refused; `wording` has the words for it."""

Verdict = Callable[[Any], Reason | None]
"""Says why a value of the right type is refused, or None."""


class Refusal(Struct, frozen=True):
    """Something that the schema refuses.

    Args:
        reason: why.
        path: where it stands; of a missing key, where it should.
        value: what stands there; of a missing key, the table that lacks it.
        choices: the words of which it must be one.

    """

    reason: Reason
    path: KeyPath
    value: Any
    choices: tuple[str, ...] = ()


class Reading:
    """One reading of a document: it goes on after what is refused, so that everything is told at once.

    Args:
        made: names of nodes that nobody wrote: they are right as they are.
        most: refusals that are kept.

    """

    def __init__(self, made: Container[str], most: int) -> None:
        self.made = made
        self.refusals: list[Refusal] = []
        self._most = most

    def refuse(self, reason: Reason, path: KeyPath, value: object, choices: tuple[str, ...] = ()) -> None:
        """Keep a refusal, and return None: what is refused is read as that, and nothing in TOML is."""
        if len(self.refusals) < self._most:
            self.refusals.append(Refusal(reason, path, value, choices))


class Kind(Struct, frozen=True):
    """A kind of value.

    Args:
        read: returns what stands at a path as a table holds it.
        schema: returns the JSON Schema, and adds what it refers to to the definitions.

    """

    read: Callable[[Any, KeyPath, Reading], Any]
    schema: Callable[[Schema], Any]


def plain(type_: type, reason: Reason, schema: Schema, verdict: Verdict | None = None) -> Kind:
    """Return the kind of the values of one type.

    Args:
        type_: what values are; true is no integer.
        reason: what is said to any other.
        schema: the JSON Schema.
        verdict: what else is asked of a value.

    """

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
            return reading.refuse(reason, path, value)
        if verdict is not None and (refused := verdict(value)) is not None:
            return reading.refuse(refused, path, value)
        return value

    return Kind(read, lambda definitions: schema)


def judged(kind: Kind, verdict: Verdict, schema: Callable[[Schema], Schema]) -> Kind:
    """Return a kind of which more is asked, once it is read without refusal."""

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        before = len(reading.refusals)
        made = kind.read(value, path, reading)
        if made is None or len(reading.refusals) > before or (reason := verdict(made)) is None:
            return made
        return reading.refuse(reason, path, value)

    return Kind(read, schema)


def either(reason: Reason, kinds: Sequence[Kind], choose: Callable[[Any], Kind | None]) -> Kind:
    """Return the kind of what may be of several.

    Args:
        reason: what is said to what is of none.
        kinds: all of them.
        choose: returns the one that a value is meant to be of, or None.

    """

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        kind = choose(value)
        return reading.refuse(reason, path, value) if kind is None else kind.read(value, path, reading)

    return Kind(read, lambda definitions: {"anyOf": [kind.schema(definitions) for kind in kinds]})


def word(choices: tuple[str, ...]) -> Kind:
    """Return the kind that is one of some words."""

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        return value if value in choices else reading.refuse("choice", path, value, choices)

    schema: Schema = {"const": choices[0], "type": "string"} if len(choices) == 1 else {"enum": [*choices], "type": "string"}
    return Kind(read, lambda definitions: schema)


def maybe(kind: Kind) -> Kind:
    """Return the kind of what may be nothing: TOML has no word for that, YAML does."""
    return Kind(lambda value, path, reading: None if value is None else kind.read(value, path, reading), kind.schema)


def listed(entry: Kind) -> Kind:
    """Return the kind of lists."""

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, list):
            return reading.refuse("list", path, value)
        return [entry.read(one, (*path, i), reading) for i, one in enumerate(value)]

    return Kind(read, lambda definitions: {"items": entry.schema(definitions), "type": "array"})


def named(name: Kind, entry: Kind) -> Kind:
    """Return the kind of tables whose keys are names that the user chooses."""

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return reading.refuse("table", path, value)
        made = {}
        for key, one in value.items():
            at = (*path, key)
            name.read(key, at, reading)
            made[key] = entry.read(one, at, reading)
        return made

    def schema(definitions: Schema) -> Schema:
        names = {key: value for key, value in name.schema(definitions).items() if key != "type"}
        return {
            "additionalProperties": entry.schema(definitions),
            **({"propertyNames": names} if names else {}),
            "type": "object",
        }

    return Kind(read, schema)


ANYTHING = Kind(lambda value, path, reading: value, lambda definitions: True)
TRUTH = plain(bool, "truth", {"type": "boolean"})
STRING = plain(str, "text", {"type": "string"})

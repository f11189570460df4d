"""How a user's keys and values look inside a message: short, on one line, printable."""

from __future__ import annotations

from datetime import date, datetime, time

from modelbuild.errors import did_you_mean as nearest
from modelbuild.names import LIMIT, plain

__all__ = ["LIMIT", "found", "kind", "nearest", "plain"]

_FEW = 4
_REPEATABLE_BITS = 128  # longer integers are described by their size: Python refuses to print the longest


def kind(value: object) -> str:  # noqa: PLR0911 -- one line for each kind that TOML has
    """Name the TOML kind of a value, with its article."""
    match value:
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a float"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime() | date() | time():
            return "a date or time"
        case _:
            return f"a {type(value).__name__}"


def found(value: object) -> str:
    """Describe a value that is not what it should be: `found: "0.5", a string`."""
    match value:
        case bool():
            return f"found: {str(value).lower()}, a boolean"
        case int() if value.bit_length() > _REPEATABLE_BITS:
            return f"found: an integer of {value.bit_length()} bits"
        case str():
            return f'found: "{plain(value)}", a string'
        case list():
            return f"found: {_listed(value)}"
        case dict():
            return "found: a table"
        case _:
            return f"found: {value}, {kind(value)}"


def _listed(values: list[object]) -> str:
    """Write a list of few integers out, and count the entries of any other."""
    if not values:
        return "an empty list"
    if len(values) <= _FEW and all(type(value) is int and value.bit_length() <= _REPEATABLE_BITS for value in values):
        return f"[{', '.join(map(str, values))}]"
    return f"a list of {len(values)}"

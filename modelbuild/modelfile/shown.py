"""How a user's keys and values look inside a message: short, on one line, printable."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time

from modelbuild.errors import did_you_mean

LIMIT = 60
"""Characters of the user's text that one message repeats."""

_LONGEST_MISSPELT = 40
_FEW = 4
_MOST_KNOWN = 500  # comparing words takes time in proportion to both
_REPEATABLE_BITS = 128  # longer integers are described by their size: Python refuses to print the longest


def plain(text: str, limit: int = LIMIT) -> str:
    """Return `text` with unprintable characters escaped and what exceeds `limit` cut."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in cut)


def nearest(word: str, known: Collection[str]) -> str:
    """Return the hint "did you mean …", or "" where nothing is near or the search would be long."""
    return did_you_mean(word, known) if len(word) <= _LONGEST_MISSPELT and len(known) <= _MOST_KNOWN else ""


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

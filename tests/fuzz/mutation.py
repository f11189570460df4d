"""How anything is mutated: bytes, lines and tokens of text, and values of JSON; and the values that hurt."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Json = Any

ESCAPES = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "a\nb",
    "a\r\nb",
    "a\0b",
    "a\tb",
    "\x7f",
    "\x9b31m",
    "\u202eright to left",
    "\u2028",
    "\ufeff",
    "\ud800",
)
"""What a terminal obeys, or what is no text."""

PATHS = (
    "..", ".", "", "/", "//", "../x", "../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/environ", "~", "~/x", "$HOME/x",
    "a/b", "./model.safetensors", "a/../../x", "x/..", "C:\\x", "\\\\host\\share", "file:///etc/passwd", "https://example.invalid/x", "hf://../..",
    "-rf", "--help", "CON", "nul", "model.safetensors/", "model.safetensors\0.txt", "|sh", "`sh`", "$(sh)", "a" * 300, "x/" * 3000, "%2e%2e%2fx",
    "..\\x", "....//x", "/dev/fd/0", ".git", "\u2025", "\uff0e\uff0e/x", "e\u0301", "\U0001d54f", "\U000e0001",
)  # fmt: skip
"""Names that lead elsewhere, or seem to."""

NUMBERS = (
    0, 1, -1, 2, 7, 255, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, 10**4299, 0.0, -0.0, 0.5, 1.0, 1e308, -1e-320, 1e999,
    -1e999,
)  # fmt: skip

WORDS = (
    "null", "nan", "__class__", "__proto__", "constructor", "{{ 7 * 7 }}", "{% for x in y %}", "${jndi:ldap://x}", "${v}", "%s%s%n", "'; DROP TABLE Cache; --",
    "<script>", "True", "0x10", "1_000", "١٢", "²", "a" * 60_000, "model.layers." + "9" * 5000 + ".weight", "model.layers.99999999999.mlp.weight",
    "model.layers.-1.x", ".", "..." * 500, "model." * 2000, "layers.0" * 800, "BF16", "F8_E4M3", "F4", "bf16", "I64", "BOOL",
)  # fmt: skip

STRINGS = (*ESCAPES, *PATHS, *WORDS)
"""At least sixty strings that stand where a name, a path or a word should."""


def deep(levels: int, rng: Random) -> Json:
    """Return lists or tables within each other."""
    value: Json = 0
    for _ in range(levels):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def value(rng: Random) -> Json:
    """Return a value that hurts, of any kind."""
    kind = rng.randrange(9)
    if kind < 3:
        return rng.choice(STRINGS)
    if kind < 6:
        return rng.choice(NUMBERS)
    if kind == 6:
        return rng.choice([None, True, False, [], {}, [[]], [None], {"": None}, [1, "a", {}]])
    return deep(rng.choice([3, 40, 150, 400]), rng) if kind == 7 else [rng.choice(NUMBERS) for _ in range(rng.choice([1, 3, 50]))]


def places(table: Json, path: tuple[Any, ...] = (), most: int = 4000) -> list[tuple[Any, ...]]:
    """Return the paths of everything in a JSON value, up to so many."""
    found = [path]
    inside = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, one in inside:
        if len(found) >= most:
            break
        found += places(one, (*path, key), most - len(found))
    return found


def changed(table: Json, rng: Random, values: Callable[[Random], Json] = value) -> Json:
    """Return a JSON value with one thing in it replaced, removed, renamed, doubled or moved."""
    table = json.loads(json.dumps(table))
    path = rng.choice(places(table))
    if not path:
        return values(rng) if rng.random() < 0.1 else table
    holder = table
    for key in path[:-1]:
        holder = holder[key]
    key, how = path[-1], rng.randrange(6)
    if how < 3:
        holder[key] = values(rng)
    elif how == 3:
        del holder[key]
    elif isinstance(holder, dict):
        holder[rng.choice([*STRINGS, *holder])] = holder.pop(key) if how == 4 else holder[key]
    else:
        holder.insert(rng.randrange(len(holder) + 1), holder[rng.randrange(len(holder))])
    return table


def text_of(table: Json, rng: Random) -> bytes:
    """Write JSON, at times as only some readers take it: with keys twice, by another encoding, with marks before it."""
    text = json.dumps(table, ensure_ascii=rng.random() < 0.7)
    data = text.encode("utf-8", "surrogatepass")
    how = rng.randrange(40)
    if how == 0 and '": ' in text:
        at = text.index('": ')
        return (text[:1] + text[1 : at + 3] + "0, " + text[1:]).encode("utf-8", "surrogatepass")
    if how == 1:
        return text.encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]), "surrogatepass")
    return bytes_changed(data, rng) if how == 2 else data


TOKENS = (
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b",",
    b":",
    b"NaN",
    b"Infinity",
    b"-",
    b"1e999",
    b"9" * 5000,
    b"\\ud800",
    b"[" * 5000,
    b"\x80\x04c",
)


def bytes_changed(data: bytes, rng: Random) -> bytes:
    """Return bytes with a few of them flipped, cut out, doubled, cut off, or put in."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, stop = rng.randrange(len(made) + 1), 0
        match rng.randrange(6):
            case 0 if made:
                made[at % len(made)] ^= 1 << rng.randrange(8)
            case 1:
                del made[at : at + rng.choice([1, 2, 8, 100])]
            case 2:
                stop = at + rng.choice([1, 8, 64])
                made[at:at] = made[at:stop]
            case 3:
                del made[at:]
            case _:
                made[at:at] = rng.choice(TOKENS)
    return bytes(made)


def tokens_changed(tokens: Sequence[str], others: Sequence[str], rng: Random) -> str:
    """Return a text with some of its tokens replaced, by its own and by others, left out, or doubled."""
    made = list(tokens)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made))
        match rng.randrange(5):
            case 0:
                made[at] = ""
            case 1:
                made[at] *= 2
            case 2:
                made[at] = rng.choice(made)
            case _:
                made[at] = rng.choice(others)
    return "".join(made)

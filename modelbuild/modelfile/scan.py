"""Where everything stands in a TOML text: a scanner that keeps positions and reads no values.

The parser gives values without positions; this gives positions without values.  It expects TOML 1.1 that the parser
has accepted, and stops where it meets anything else.  It does not recurse, so depth costs nothing.
"""

from __future__ import annotations

import re

import tomli
from msgspec import Struct, field

_BASIC = r'"(?:\\.|[^"\\\n])*"'
_LITERAL = r"'[^'\n]*'"
_STRING = rf"\"\"\"(?s:\\.|[^\\])*?\"{{3,5}}|'''(?s:.)*?'{{3,5}}|{_BASIC}|{_LITERAL}"

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_PART = re.compile(rf"(?:{_BASIC}|{_LITERAL}|[A-Za-z0-9_-]+)")
_INDEX = re.compile(r"\[(\d{1,9})\]")
_ATOM = re.compile(rf"{_STRING}|(?:\d{{4}}-\d\d-\d\d (?=\d\d:))?[^\s,\]}}#]+")  # a date and its time may be parted by a space
_LANDMARK = re.compile(rf"#[^\n]*|{_STRING}|[\[{{]|[\]}}]|[0-9][0-9_]*")


class LostError(ValueError):
    """The text is not the TOML that the scanner expects."""


class Node(Struct):
    """A key or an entry of a list: where it stands, where its value starts, what is inside.

    Args:
        key: offset of the key; of the value, for an entry of a list.
        value: offset of the value; of the key, where the value is a table made by headers or dotted keys.
        children: by key, or by position for the entries of a list.

    """

    key: int
    value: int
    children: dict[str | int, Node] = field(default_factory=dict)


def scan(text: str) -> Node:
    """Return the root of the tree of all keys and list entries, as far as the text is TOML."""
    root = Node(0, 0)
    table, at = root, _skip(_BLANK, text, 0)
    try:
        while at < len(text):
            if text[at] == "[":
                table, at = _header(text, at, root)
            else:
                node, at = _key(text, at, table)
                at = _value(text, at, node)
            at = _skip(_BLANK, text, at)
    except LostError:
        pass  # what was found so far still gives the nearest place
    return root


def key_path(text: str) -> tuple[tuple[str | int, ...], int]:
    """Read a dotted key with optional `[0]` positions at the start of `text`; return it and where it ends.

    Raises:
        LostError: if `text` does not start with a key.

    """
    parts: list[str | int] = []
    at = _skip(_SPACE, text, 0)
    while True:
        part, at = _part(text, at)
        parts.append(part)
        while index := _INDEX.match(text, at):
            parts.append(int(index[1]))
            at = index.end()
        at = _skip(_SPACE, text, at)
        if not text.startswith(".", at):
            return tuple(parts), at
        at = _skip(_SPACE, text, at + 1)


def value_end(text: str, at: int) -> int:
    """Return where the value that starts at `at` ends.

    Raises:
        LostError: if it does not end.

    """
    return _value(text, at, Node(at, at))


def string_at(text: str, at: int) -> str:
    """Return the string token that starts at `at`, with its quotes, or "" where another value stands."""
    match = _ATOM.match(text, at)
    return match[0] if match and match[0][0] in "\"'" else ""


def too_deep(text: str, depth: int) -> int | None:
    """Return the offset of the first bracket nested deeper than `depth`, or None; the text need not be TOML."""
    open_brackets = 0
    for mark in _LANDMARK.finditer(text):
        if mark[0] in "[{":
            open_brackets += 1
            if open_brackets > depth:
                return mark.start()
        elif mark[0] in "]}":
            open_brackets = max(0, open_brackets - 1)
    return None


def huge_number(text: str, digits: int) -> int | None:
    """Return the offset of the first number of more than `digits` digits, or None; the text need not be TOML."""
    marks = _LANDMARK.finditer(text)
    return next((mark.start() for mark in marks if mark[0][0] in "0123456789" and len(mark[0]) > digits), None)


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, token: str) -> int:
    if not text.startswith(token, at):
        raise LostError(token)
    return at + len(token)


def _part(text: str, at: int) -> tuple[str, int]:
    match = _PART.match(text, at)
    if match is None:
        raise LostError(at)
    token = match[0]
    if token[0] == "'":
        return token[1:-1], match.end()
    if token[0] == '"':
        try:
            return (tomli.loads(f"key = {token}")["key"] if "\\" in token else token[1:-1]), match.end()
        except tomli.TOMLDecodeError as error:
            raise LostError(at) from error
    return token, match.end()


def _last_entry(node: Node) -> Node:
    """Return the table that a header or key goes on with: the last entry, where `node` is a list of tables."""
    return node.children[len(node.children) - 1] if 0 in node.children else node


def _walk_key(text: str, at: int, table: Node) -> tuple[Node, int, int]:
    """Follow a dotted key from `table`, making what is missing; return its node, where its last part starts, where it ends."""
    node = table
    while True:
        start = at
        name, at = _part(text, at)
        node = _last_entry(node).children.setdefault(name, Node(start, start))
        at = _skip(_SPACE, text, at)
        if not text.startswith(".", at):
            return node, start, at
        at = _skip(_SPACE, text, at + 1)


def _header(text: str, at: int, root: Node) -> tuple[Node, int]:
    many = text.startswith("[[", at)
    node, start, at = _walk_key(text, _skip(_SPACE, text, at + 1 + many), root)
    at = _expect(text, at, "]]" if many else "]")
    if not many:
        node.key = node.value = start  # a header of its own beats the header of a child that came before
        return node, at
    entry = node.children[len(node.children)] = Node(start, start)
    return entry, at


def _key(text: str, at: int, table: Node) -> tuple[Node, int]:
    """Read `key =`; return the key's node and where the value starts."""
    node, _, at = _walk_key(text, at, table)
    return node, _skip(_SPACE, text, _expect(text, at, "="))


def _value(text: str, at: int, node: Node) -> int:
    """Note the value that starts at `at` and all that is inside it; return where it ends."""
    open_values: list[tuple[Node, str]] = []
    while True:
        node.value = at
        opening = text[at : at + 1]
        if opening in ("[", "{"):
            open_values.append((node, "]" if opening == "[" else "}"))
            at += 1
        elif atom := _ATOM.match(text, at):
            at = atom.end()
        else:
            raise LostError(at)
        while open_values:
            at = _skip(_BLANK, text, at)
            if text.startswith(open_values[-1][1], at):
                open_values.pop()
            elif not text.startswith(",", at):
                break
            at += 1
        if not open_values:
            return at
        parent, closing = open_values[-1]
        if closing == "]":
            node = parent.children[len(parent.children)] = Node(at, at)
        else:
            node, at = _key(text, at, parent)

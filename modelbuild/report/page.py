"""A page: where text is printed, how wide it is, and whether it takes colour."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import TextIO

from msgspec import Struct

_STYLES = {"bold": "1", "faint": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "error": "1;31"}
_NARROWEST = 16
_SIZE = re.compile(r"(\d) ([kMGT]?B\b)")
_OURS = re.compile("(" + "|".join(re.escape(f"\x1b[{code}m") for code in ("0", *_STYLES.values())) + ")")


class Look(Struct, frozen=True):
    """How text is to look.

    Args:
        width: columns; 0 for as many as a line needs.
        colour: whether escape sequences may be used.
        ascii: whether nothing else may be: drawings have other corners then.

    """

    width: int = 0
    colour: bool = False
    ascii: bool = False

    def paint(self, style: str, text: str) -> str:
        """Return `text` in a style, if there is any text and the page takes colour."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colour and text else text

    def wrapped(self, text: str, indent: int = 0, first: int | None = None) -> list[str]:
        """Break one line of text into lines that fit; words that are longer than a line stay whole.

        Args:
            text: no line breaks and no colour; it is not broken at a no-break space, which becomes a space.
            indent: spaces before each line.
            first: spaces before the first line, where they differ.

        """
        start = " " * (indent if first is None else first)
        if not self.width:
            return [start + text.replace("\u00a0", " ")]
        width = max(self.width, indent + _NARROWEST)
        wrapper = textwrap.TextWrapper(width, start, " " * indent, break_long_words=False, break_on_hyphens=False)
        lines = wrapper.wrap(_SIZE.sub("\\1\u00a0\\2", text))  # a size and its unit stay together
        return [line.replace("\u00a0", " ") for line in lines] or [start.rstrip()]


class Page(Struct, frozen=True):
    """Where text is printed.

    Args:
        stream: None where it was closed before the program began.
        look: how.
        needed: whether text that cannot be written is an error (OSError); talk that nobody hears is none.

    """

    stream: TextIO | None
    look: Look = Look()
    needed: bool = True

    def say(self, text: str) -> None:
        """Print text and a line break at once; control characters in it, which names may hold, are shown and not obeyed."""
        if self.stream is None:
            return
        with contextlib.nullcontext() if self.needed else contextlib.suppress(OSError):
            self.stream.write(self.safe(text) + "\n")
            self.stream.flush()

    def tell(self, text: str) -> None:
        """Print lines without colour, broken where the page is too narrow for them; what is broken off is set in."""
        lines = text.split("\n")
        indents = [len(line) - len(line.lstrip(" ")) for line in lines]
        broken = [self.look.wrapped(line.lstrip(" "), indent + 2, first=indent) for line, indent in zip(lines, indents, strict=True)]
        self.say("\n".join(part for parts in broken for part in parts))

    def safe(self, text: str) -> str:
        """Return `text` with what the page cannot show, or a terminal would obey, escaped; colours of our own stay."""
        if self.look.ascii:
            text = text.encode("ascii", "backslashreplace").decode()
        if not self.look.colour:
            return _escaped(text)
        return "".join(part if i % 2 else _escaped(part) for i, part in enumerate(_OURS.split(text)))


def uncoloured(text: str) -> str:
    """Return text without colours of our own."""
    return _OURS.sub("", text)


def _escaped(text: str) -> str:
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(char if char == "\n" or char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text)


def table(rows: Sequence[tuple[str, ...]], look: Look, gap: str = "  ", indent: int = 0) -> list[str]:
    """Align the columns of text without colour; the last one is broken into lines that fit.

    A row that does not fit even so is not aligned: its cells follow each other, and what is too long for a line of its own, as a path may
    be, is broken behind `/` or `,`.
    """
    _, start = _columns(rows, gap, indent)
    fitting = {row for row in rows if not look.width or max(map(len, look.wrapped(row[-1], start))) <= look.width}
    widths, start = _columns(fitting, gap, indent)
    lines: list[str] = []
    for row in rows:
        if row in fitting:
            head = " " * indent + "".join(cell.ljust(width) + gap for cell, width in zip(row[:-1], widths, strict=True))
            first, *rest = look.wrapped(row[-1], start)
            lines += [(head + first[start:]).rstrip(), *rest]
        else:
            cells = look.wrapped(gap.join(filter(None, map(str.strip, row))), indent + 2, first=indent)
            lines += [part for line in cells for part in _cut(line, look.width, " " * (indent + 2))]
    return lines


def _columns(rows: Collection[tuple[str, ...]], gap: str, indent: int) -> tuple[list[int], int]:
    """Return how wide the columns are but for the last one, and where that one begins."""
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    return widths, indent + sum(widths) + len(gap) * len(widths)


def _cut(line: str, width: int, indent: str) -> Iterator[str]:
    """Break a line that is longer than the page behind `/` or `,`, where it has any."""
    while len(line) > width:
        at = max(line.rfind(sign, len(indent), width) for sign in "/,") + 1
        if not at:
            break
        yield line[:at]
        line = indent + line[at:]
    yield line

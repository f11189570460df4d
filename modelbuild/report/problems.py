"""Problems in colour; their words are their own."""

from __future__ import annotations

from collections.abc import Iterable

from modelbuild.errors import Problem
from modelbuild.report.page import Look

_HEADS = (("error:", "error"), ("warning:", "yellow"), ("note:", "cyan"), ("hint:", "cyan"), ("  -->", "blue"))

_MOST = 30


def problems(found: Iterable[Problem], look: Look) -> str:
    """Return problems as text, a blank line between two; of a great many the first ones, and how many more there are."""
    listed = list(found)
    shown = ["\n".join(fitted(line, look) for line in str(problem).split("\n")) for problem in listed[:_MOST]]
    more = len(listed) - _MOST
    return "\n\n".join([*shown, *([f"and {more} more errors"] if more > 0 else [])])


def fitted(line: str, look: Look) -> str:
    """Break a line that the page is too narrow for; a place stays whole, so that it can be clicked on."""
    if not look.width or len(line) <= look.width or line.startswith("  -->"):
        return painted(line, look)
    text = line.lstrip(" ")
    indent = len(line) - len(text)
    first, *rest = look.wrapped(text, indent + 2, first=indent)
    return "\n".join([painted(first, look), *rest])


def painted(line: str, look: Look) -> str:
    """Paint the word that a line of talk begins with."""
    for head, style in _HEADS:
        if line.startswith(head):
            return look.paint(style, head) + line[len(head) :]
    return line

"""What can go wrong, as values: a problem says what, where, the facts and one way out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from itertools import islice

from msgspec import Struct


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    ACTION_FAILED = 1
    USAGE = 2
    LOCK = 3
    DIGEST = 4
    SOURCE = 5
    LOCAL_IO = 6
    NETWORK = 7
    UNSAFE = 8
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


class Place(Struct, frozen=True):
    """A position in a text file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Struct, frozen=True):
    """One thing that is wrong.

    Args:
        what: the sentence after `error:`, names in backticks.
        at: dotted key path in the Modelfile, or "" where there is none.
        place: where in which file, or None where no file is at fault.
        facts: lines that show what was found, each complete.
        hint: one way out, or "".

    """

    what: str
    at: str = ""
    place: Place | None = None
    facts: tuple[str, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.place:
            lines.append(f"  --> {self.place}" + (f", at `{self.at}`" if self.at else ""))
        elif self.at:
            lines.append(f"  --> `{self.at}`")
        lines += [f"  {fact}" for fact in self.facts]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ModelbuildError(Exception):
    """One or more problems, and the exit code they end the program with."""

    def __init__(self, problems: Iterable[Problem] | Problem, exit_code: Exit = Exit.USAGE) -> None:
        """Carry `problems`, worded already, to the command line."""
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.exit_code = exit_code
        super().__init__("\n\n".join(map(str, self.problems)))


_LONGEST_MISSPELT = 40
_MOST_KNOWN = 500  # comparing words takes time in proportion to both


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return the hint for a misspelt word, or "" where nothing known is near it, or the search would be long."""
    if len(word) > _LONGEST_MISSPELT or len(known) > _MOST_KNOWN:
        return ""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""


_MOST_LISTED = 100


def among(names: Collection[str]) -> str:
    """List names for a fact: all of them, or the first hundred of many."""
    more = len(names) - _MOST_LISTED
    return ", ".join(islice(names, _MOST_LISTED)) + (f" and {more} more" if more > 0 else "")


def some(names: Sequence[str], most: int = 3) -> str:
    """List names in a sentence, the first few of many."""
    more = len(names) - most
    return ", ".join(f"`{name}`" for name in names[:most]) + (f" and {more} more" if more > 0 else "")

"""What is read of configurations with where it stands, and what is said on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from modelbuild.errors import Place, Problem, did_you_mean
from modelbuild.mergekit.documents import Document
from modelbuild.names import KeyPath

_SHOWN = 40
"""Characters of what is of the wrong kind."""


class At(Struct, frozen=True, dict=True):
    """A value of a document, and where it stands there."""

    document: Document
    path: KeyPath
    value: Any

    def __getitem__(self, key: str | int) -> At:
        """Go to an entry of a table or a list; what is not there is None."""
        inner = self.value
        held = inner.get(key) if isinstance(inner, Mapping) else inner[key] if isinstance(inner, list) and isinstance(key, int) else None
        return At(self.document, (*self.path, key), held)

    def listed(self, key: str) -> list[At]:
        """Return the entries of a list under a key; none where there is no list."""
        inner = self[key]
        return [inner[i] for i in range(len(inner.value))] if isinstance(inner.value, list) else []

    def __bool__(self) -> bool:
        """Tell whether something stands there."""
        return self.value is not None and self.value not in ({}, [], "")

    def problem(self, what: str, facts: tuple[str, ...] = (), hint: str = "") -> Problem:
        """Word a problem here."""
        return self.document.problem(what, self.path, facts, hint)

    @property
    def place(self) -> Place:
        """File, line and column."""
        return self.document.place(self.path)


class Placed(Struct, frozen=True):
    """A value of a Modelfile in the making, and what it comes from."""

    value: Any
    at: At


class Ledger(Struct, dict=True):
    """Collects what has no meaning here, and what was taken another way than it was written."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def say(self, at: At, what: str, facts: tuple[str, ...] = (), hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(at.problem(what, facts, hint))

    def note(self, at: At, text: str) -> None:
        """Note what the user should know."""
        told = f"{at.place.file}:{at.place.line}: {text}"
        if told not in self.notes:
            self.notes.append(told)

    def table(self, at: At, known: Iterable[str] = ()) -> At:
        """Return a table, and say which of its keys mean nothing, unless that is said: mergekit would pass over them."""
        if not isinstance(at.value, Mapping):
            if at.value is not None:
                self.say(at, "this should be a table of keys", (f"found: {str(at.value)[:_SHOWN]}",), "write `KEY: VALUE`")
            return At(at.document, at.path, {})
        known = tuple(known)
        for key in at.value if known else ():
            if key not in known and all(one.place != at[key].place for one in self.problems):
                self.say(at[key], f"unknown key `{key}`", (f"known here: {', '.join(known)}",), did_you_mean(key, known))
        return at

    def listed(self, at: At) -> list[At]:
        """Return the entries of a list."""
        if isinstance(at.value, list):
            return [at[i] for i in range(len(at.value))]
        if at.value is not None:
            self.say(at, "this should be a list", (f"found: {str(at.value)[:_SHOWN]}",), "write `- ` before each entry")
        return []


def settled(told: Any, path: KeyPath, origins: dict[KeyPath, At]) -> Any:
    """Return a value without its places, which are noted in `origins`, by key path of the Modelfile."""
    while isinstance(told, Placed):
        origins.setdefault(path, told.at)
        told = told.value
    if isinstance(told, dict):
        return {key: settled(value, (*path, key), origins) for key, value in told.items()}
    if isinstance(told, list):
        return [settled(value, (*path, i), origins) for i, value in enumerate(told)]
    return told

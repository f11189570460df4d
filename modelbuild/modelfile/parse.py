"""From text to Modelfile: all that is wrong with it is said at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli
from msgspec.structs import replace

from modelbuild.errors import Exit, ModelbuildError, Place, Problem
from modelbuild.modelfile.checks import check
from modelbuild.modelfile.convert import convert
from modelbuild.modelfile.edits import edit
from modelbuild.modelfile.kinds import Reading
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import Modelfile
from modelbuild.modelfile.schema import GraphTable
from modelbuild.modelfile.syntax import syntax_problem
from modelbuild.modelfile.tables import table_kind
from modelbuild.modelfile.variables import substitute
from modelbuild.modelfile.wording import refusals
from modelbuild.names import KeyPath
from modelbuild.reading import TEXT, Unfit, read_small

if TYPE_CHECKING:
    from modelbuild.modelfile.matrix import Variant

MOST_MODELS = 2_000
"""Sources and merges of a Modelfile."""

MOST_ENTRIES = 30_000
"""Keys and entries of lists of a Modelfile: a rule for every tensor of a large model, for each of several inputs, is a third of it."""

_AFTER = frozenset({"check", "search", "export"})
"""Sections of what comes after merges."""

_MOST_TOLD = 1_000
"""Of what is wrong with keys and values: nobody reads more."""


def read(path: Path, overrides: Sequence[str] = ()) -> Modelfile:
    """Read and parse the Modelfile at `path`.

    Args:
        path: the file, as the user gave it: errors repeat it.
        overrides: what `--set` asks for, each `KEY=VALUE`.

    Raises:
        ModelbuildError: if there is none, if it cannot be read or if anything in it is wrong.

    """
    try:
        data = read_small(path, TEXT)
    except (FileNotFoundError, NotADirectoryError):
        problem = Problem(f"there is no Modelfile at `{path}`", hint="`modelbuild init` makes one")
        raise ModelbuildError(problem) from None
    except IsADirectoryError:
        problem = Problem(f"`{path}` is a directory, not a Modelfile", hint=f"did you mean `{path / 'Modelfile.toml'}`?")
        raise ModelbuildError(problem) from None
    except Unfit as error:
        raise ModelbuildError(Problem(f"`{path}` cannot be a Modelfile", facts=(str(error),), hint="name a file of text")) from None
    except OSError as error:
        problem = Problem(f"`{path}` cannot be read", facts=(f"the system says: {error.strerror}",), hint="correct the permissions")
        raise ModelbuildError(problem, Exit.LOCAL_IO) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        place = Place(str(path), before.count("\n") + 1, len(before) - before.rfind("\n"))
        fact = f"byte {data[error.start]:#04x} at offset {error.start} starts no character"
        raise ModelbuildError(Problem(f"`{path}` is not UTF-8 text", "", place, (fact,), "save it as UTF-8")) from None
    return parse(path, text, overrides)


def parse(path: Path, text: str, overrides: Sequence[str] = ()) -> Modelfile:
    """Parse the text of a Modelfile.

    Args:
        path: where it stands, as the user gave it; nothing is read from there.
        text: TOML 1.1.
        overrides: what `--set` asks for, each `KEY=VALUE`: applied in order, before variables are replaced.

    Raises:
        ModelbuildError: with every problem of the file, in the order of the file.

    """
    try:
        document: dict[str, Any] = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelbuildError(syntax_problem(str(path), text, error)) from None
    _refuse_many(str(path), document)
    edits, edit_problems = edit(document, overrides)
    locator = Locator(str(path), text, edits)
    document, problems = substitute(document, locator)
    return validated(document, path, locator, problems, edit_problems)


def validated(
    document: Mapping[str, Any],
    path: Path,
    locator: Locator,
    problems: Mapping[KeyPath, Problem],
    edit_problems: Sequence[Problem],
    notes: tuple[str, ...] = (),
) -> Modelfile:
    """Return the Modelfile that a document is, in which variables were replaced.

    Args:
        document: its tables.
        path: where it stands.
        locator: finds the places of its keys.
        problems: what is wrong with it already, by path.
        edit_problems: what is wrong with `--set`.
        notes: what is to be said of it.

    Raises:
        ModelbuildError: with every problem, in the order of the file.

    """
    variants: Mapping[str, Variant] = {}
    if _sweeps(document):
        from modelbuild.modelfile.matrix import expand

        expanded = expand(document, locator)
        document, variants, problems, notes = (
            expanded.document,
            expanded.variants,
            {**expanded.problems} | {**problems},
            (*notes, *expanded.notes),
        )
    problems = check(document, locator) | {**problems}
    reading = Reading(variants, _MOST_TOLD)
    table: GraphTable | None = table_kind(_table_of(document)).read(document, (), reading)
    problems = refusals(reading.refusals, locator) | {**problems}
    if table is None or problems or edit_problems:
        raise ModelbuildError(dict.fromkeys([*_in_file_order(problems.values()), *edit_problems]))  # an edit can be given twice
    return replace(convert(table, path, locator, notes, variants), document=document)


def _sweeps(document: Mapping[str, Any]) -> bool:
    """Tell whether a merge has a matrix."""
    merges = document.get("merge")
    return isinstance(merges, dict) and any(isinstance(merge, dict) and "matrix" in merge for merge in merges.values())


def _table_of(document: Mapping[str, Any]) -> type[GraphTable]:
    """Return what a document is held against; what comes after merges is only known where something is said of it."""
    if _AFTER.isdisjoint(document):
        return GraphTable
    from modelbuild.modelfile.after import ModelfileTable

    return ModelfileTable


def _refuse_many(file: str, document: dict[str, Any]) -> None:
    """Refuse a document that would take long to be told of."""
    count = sum(len(section) for section in (document.get("source"), document.get("merge")) if isinstance(section, dict))
    what = f"declares {count} models: at most {MOST_MODELS} are read" if count > MOST_MODELS else ""
    entries = 0
    level: list[Any] = [document]
    while level and not what:
        entries += sum(map(len, level))
        what = f"has more than {MOST_ENTRIES} keys and entries" if entries > MOST_ENTRIES else ""
        level = [one for held in level for one in (held.values() if isinstance(held, dict) else held) if isinstance(one, dict | list)]
    if what:
        raise ModelbuildError(Problem(f"`{file}` is too large", facts=(f"it {what}",), hint="make several files of it"))


def _in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems by line and column; those of `--set` stand in no line and come last."""
    return sorted(problems, key=lambda problem: (0, problem.place.line, problem.place.column) if problem.place else (1, 0, 0))

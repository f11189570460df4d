"""The variants of a sweep side by side: a row for each, a column for each parameter and for what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import Struct

from modelbuild.modelfile.sweep import shown
from modelbuild.names import VARIANT, human_bytes
from modelbuild.report.page import Look, table

if TYPE_CHECKING:
    from modelbuild.usecases.freshness import TargetStatus
    from modelbuild.usecases.outcome import BuiltTarget

Columns = Mapping[str, str]
"""What is told of a variant, by the column's head."""


class Variant(Protocol):
    """A target that may be a variant: its name, and what it has from the matrix."""

    @property
    def name(self) -> str:
        """NAME, or NAME@POINT."""

    @property
    def point(self) -> Mapping[str, Any]:
        """By parameter; empty where it is none."""


class At(Struct, frozen=True):
    """A variant of which no more is told than where it stands in its sweep."""

    name: str
    point: Mapping[str, Any]


One = TypeVar("One", bound=Variant)


def built(targets: Sequence[BuiltTarget], look: Look) -> str:
    """Show each sweep of a build as a table, or "" where none was built."""
    columns = {
        one.name: {
            "state": one.state,
            "run": str(one.run),
            "reused": str(one.reused),
            "merged": human_bytes(one.nbytes),
        }
        for one in targets
    }
    return "\n\n".join(sweep(name, group, columns, look) for name, group in sweeps(targets))


def status(name: str, group: Sequence[TargetStatus], look: Look) -> str:
    """Show the state of each variant of a sweep."""
    columns = {
        one.name: {"state": one.state, "to run": str(one.stale), "of": str(one.actions), "to merge": human_bytes(one.nbytes)}
        for one in group
    }
    return sweep(name, group, columns, look)


def sweeps(targets: Sequence[One]) -> Iterator[tuple[str, list[One]]]:
    """Yield the sweeps of which several variants are among the targets, with these."""
    groups: dict[str, list[One]] = {}
    for one in targets:
        if one.point:
            groups.setdefault(one.name.partition(VARIANT)[0], []).append(one)
    yield from ((name, group) for name, group in groups.items() if len(group) > 1)


def sweep(name: str, group: Sequence[Variant], columns: Mapping[str, Columns], look: Look) -> str:
    """Show a table: the sweep's name over its parameters, then what is known of each variant.

    Args:
        name: the merge whose matrix made them.
        group: its variants.
        columns: what is told of each, by name; all have the same columns.
        look: how.

    """
    params = list(dict.fromkeys(key for one in group for key in one.point))
    heads = list(dict.fromkeys(head for one in group for head in columns[one.name]))
    rows = [(*params, *heads)]
    rows += [
        (*(shown(one.point[key]) if key in one.point else "-" for key in params), *(columns[one.name].get(head, "-") for head in heads))
        for one in group
    ]
    title = f"{look.paint('bold', name)}: {len(group)} variants"
    if look.width and sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True)) > look.width:
        return "\n".join([title, *_listed(rows[1:], params, heads, look)])
    first, *rest = table(rows, look, indent=2)
    return "\n".join([title, look.paint("faint", first), *rest])


def _listed(rows: Sequence[tuple[str, ...]], params: Sequence[str], heads: Sequence[str], look: Look) -> Iterator[str]:
    """Show a table that is too wide for the page: of each variant its point, and below what is told of it."""
    for row in rows:
        yield from look.wrapped(", ".join(f"{key}={value}" for key, value in zip(params, row[: len(params)], strict=True)), 4, first=2)
        told = [f"{head} {value}".replace(" ", "\u00a0", 1) for head, value in zip(heads, row[len(params) :], strict=True)]
        yield from look.wrapped(", ".join(told), 6, first=4)

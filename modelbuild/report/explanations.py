"""What `explain` and `build -n --explain` print, and changes wherever they are told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from modelbuild.names import short
from modelbuild.report.page import Look, table
from modelbuild.report.words import alike, are, counted

if TYPE_CHECKING:
    from modelbuild.stale import Change
    from modelbuild.usecases.explaining import Explanation

STATES = {"fresh": "green", "stale": "yellow", "pending": "cyan"}

_DIGEST = re.compile("[0-9a-f]{64}")
_FEW = 3
"""Tensors of a merge that are told one by one though the same is to be told of each."""

_KINDS = 6
"""Names of tensors that stand for many."""

_TENSOR = re.compile(r"::[^`)]+(?=[`)])")
"""What stands behind the name of a model."""

Told = tuple[str, tuple[tuple[str, str, str], ...]]
"""Why, and the fields that changed with old and new value, as they are shown."""


def explain(told: Sequence[Explanation], look: Look, *, stale_only: bool = False, each: bool = False) -> str:
    """Show why tensors are fresh or stale: those of one merge of which the same is to be told together, those without anything as a count.

    Args:
        told: in building order.
        look: how.
        stale_only: leave out what is fresh.
        each: show every tensor by itself.

    """
    quiet: Counter[str] = Counter()
    groups: dict[object, list[Explanation]] = {}
    for one in told:
        if one.state == "fresh" and (stale_only or (not one.changes and len(told) > 1)):
            quiet[one.why] += 1
            continue
        node, inner, _ = one.tensor.partition("::")
        groups.setdefault((node, one.state, _alike(one)) if inner and not each else one.tensor, []).append(one)
    of_each = Counter(one.tensor.partition("::")[0] for one in told if "::" in one.tensor)
    lines: list[str] = []
    for group in groups.values():
        if len(group) > _FEW:
            lines += _together(group, of_each, look)
        else:
            lines += [line for one in group for line in _alone(one, look)]
    if not stale_only:
        lines += [
            line for why, count in quiet.items() for line in look.wrapped(f"{counted(count, 'tensor')} {are(count)} fresh: {why}", 4, 0)
        ]
    return "\n".join(lines)


def change_lines(changes: Sequence[Change], look: Look) -> list[str]:
    """Show what changed, a line each: its old value and its new one."""
    return _lines([(change.field, short(change.old), short(change.new)) for change in changes], look)


def _lines(changes: Sequence[tuple[str, str, str]], look: Look) -> list[str]:
    return table([(field, f"{old or 'nothing'} -> {new or 'nothing'}") for field, old, new in changes], look, indent=4)


def _alone(one: Explanation, look: Look) -> list[str]:
    return [*_headed(one.tensor, "", one.state, one.why, look), *change_lines(one.changes, look)]


def _together(group: Sequence[Explanation], of_each: Mapping[str, int], look: Look) -> Iterator[str]:
    """Show tensors of one merge of which the same is to be told."""
    first = group[0]
    node, count = first.tensor.partition("::")[0], len(group)
    whole = of_each[node] == count
    number = f"all {count} tensors are" if whole else f"{count} of {of_each[node]} tensors are"
    why, changes = _alike(first)
    if all(one.changes == first.changes for one in group):
        changes = tuple((change.field, short(change.old), short(change.new)) for change in first.changes)
    yield from _headed(node, number, first.state, why, look)
    yield from _lines(changes, look)
    if not whole:
        kinds = alike([one.tensor.partition("::")[2] for one in group])
        more = f" and {len(kinds) - _KINDS} more" if len(kinds) > _KINDS else ""
        yield from look.wrapped(f"they are {', '.join(kinds[:_KINDS])}{more}", 6, first=4)


def _headed(name: str, number: str, state: str, why: str, look: Look) -> list[str]:
    head = f"{name}:\u00a0{number}\u00a0".replace(" ", "\u00a0") if number else f"{name}:\u00a0"
    first, *rest = look.wrapped(f"{head}{state}, {why}", 4, first=0)
    head = head.replace("\u00a0", " ")
    return [first.replace(f"{head}{state},", f"{head}{look.paint(STATES[state], state)},", 1), *rest]


def _alike(one: Explanation) -> Told:
    """Return what is told of a tensor without the names of tensors and without digests, which no two have in common."""
    changes = tuple((change.field, _general(change.old), _general(change.new)) for change in one.changes)
    return _general(one.why), changes


def _general(text: str) -> str:
    return _DIGEST.sub("…", _TENSOR.sub("", text))

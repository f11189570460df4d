"""`[merge.x.matrix]`: a merge written once and made several times, each with values of its own for some parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from modelbuild.errors import Problem
from modelbuild.modelfile.edits import EditError, put
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.shown import found, nearest, plain
from modelbuild.modelfile.sweep import EXCLUDE, INCLUDE, Point, axes, flat, label, matching, points, shown, size, variant
from modelbuild.modelfile.wording import Report
from modelbuild.names import LONGEST_NODE, VARIANT, KeyPath, dotted, is_node_name

MOST_VARIANTS = 2_000
"""Variants of all merges of a Modelfile."""

MOST_COPIED = 100_000
"""Keys and entries of all variants."""

_MAKERS = ("value", "model", "layers")
"""What a rule, an input or a slice cannot be without."""

_HOLE = re.compile(r"\{([^{}]*)\}")
_WHOLE = "variant"
"""What `{variant}` in an output's path stands for: the whole point."""


class Variant(Struct, frozen=True):
    """One of the merges that a matrix makes: its name, that of the merge, and its values by parameter."""

    name: str
    merge: str
    values: Mapping[str, Any]


class Expanded(Struct, frozen=True):
    """A document in which every merge with a matrix stands as its variants."""

    document: Mapping[str, Any]
    variants: Mapping[str, Variant]
    problems: Mapping[KeyPath, Problem]
    notes: tuple[str, ...] = ()


def expand(document: Mapping[str, Any], locator: Locator) -> Expanded:
    """Replace each merge that has a matrix by its variants.

    Args:
        document: its tables, with variables replaced; a merge has a matrix.
        locator: learns which key of the file each key of a variant comes from.

    Returns:
        The document with a merge for each variant, and what is wrong; a merge whose matrix is wrong stands without it.

    """
    merges = document["merge"]
    report, left = Report(locator), MOST_VARIANTS
    made: dict[str, Variant] = {}
    notes: dict[str, None] = {}
    replaced: dict[str, Any] = {}
    for name, merge in merges.items():
        if not (isinstance(merge, dict) and "matrix" in merge):
            replaced[name] = merge
            continue
        path, matrix = ("merge", name, "matrix"), merge["matrix"]
        plainly = {key: value for key, value in merge.items() if key != "matrix"}
        before = len(report.problems)
        if is_node_name(name):
            _check(matrix, path, report)
            if len(report.problems) == before:
                left -= size(matrix)
                _refuse_many(plainly, matrix, path, left, report)
        if len(report.problems) > before or not is_node_name(name):
            if not (isinstance(matrix, dict) and "method" in matrix):
                replaced[name] = plainly
            continue
        expansion = _Expansion(name, plainly, path, report)
        for point in points(matrix):
            expansion.add(point)
        expansion.finish()
        replaced |= expansion.made
        made |= expansion.variants
        notes |= dict.fromkeys(expansion.notes())
        for variant_name, origins in expansion.origins.items():
            locator.come_from(("merge", variant_name), ("merge", name), origins)
    return Expanded({**document, "merge": replaced}, made, report.problems, tuple(notes))


class _Expansion:
    """The variants of one merge, as they are made."""

    def __init__(self, name: str, merge: Mapping[str, Any], path: KeyPath, report: Report) -> None:
        self.name, self.merge, self.path, self.report = name, merge, path, report
        self.made: dict[str, Any] = {}
        self.variants: dict[str, Variant] = {}
        self.origins: dict[str, dict[KeyPath, KeyPath]] = {}
        self.labels: dict[KeyPath, str] = {}

    def add(self, point: Point) -> None:
        """Make the variant at a point."""
        name = variant(self.name, point)
        if name in self.made:
            facts = (f"`{plain(name)}` stands for both",)
            where = (*self.path, *point[-1].place) if point else self.path
            self.report.add(where, "two points of the matrix have one name", facts=facts, hint="remove one of them")
            return
        if len(name) > LONGEST_NODE:
            facts = (f"it has {len(name)} characters, of at most {LONGEST_NODE}",)
            self.report.add(
                self.path, f"the name `{plain(name)}` is too long", key=True, facts=facts, hint="sweep fewer parameters at once"
            )
            return
        merge = _copied(self.merge)
        origins: dict[KeyPath, KeyPath] = {}
        for one in point:
            try:
                at = put({"merge": {name: merge}}, ("merge", name, *one.key), one.value)[2:]
            except EditError as error:
                self.report.add((*self.path, *one.place), error.what, facts=(f"in the matrix: `{one.label}`",), hint=error.hint)
                continue
            origins[at] = (*self.path, *one.place)
            self.labels.setdefault(at, one.label)
        self.made[name], self.origins[name] = merge, origins
        self.variants[name] = Variant(name, self.name, {one.label: one.value for one in point})

    def finish(self) -> None:
        """Hold the outputs apart."""
        output = self.merge.get("output")
        written = output.get("path") if isinstance(output, dict) else None
        at = ("merge", self.name, "output", "path")
        if not isinstance(written, str) or ("output", "path") in self.labels:
            return
        known = [_WHOLE, *dict.fromkeys(self.labels.values())]
        for hole in _HOLE.findall(written):
            if hole not in known:
                facts = (f"known here: {', '.join(f'{{{one}}}' for one in known)}",)
                self.report.add(at, f"nothing is called `{{{plain(hole)}}}`", facts=facts, hint=nearest(hole, known))
                return
        taken: dict[str, str] = {}
        for name, merge in self.made.items():
            values = {key: shown(value) for key, value in self.variants[name].values.items()}
            filled = written
            for hole, value in {_WHOLE: name.partition(VARIANT)[2], **dict.fromkeys(known[1:], ""), **values}.items():
                filled = filled.replace(f"{{{hole}}}", value)
            if filled in taken:
                facts = (f"`{plain(taken[filled])}` and `{plain(name)}` both get `{plain(filled)}`",)
                hint = f'let it say which: `path = "{plain(written)}/{{{_WHOLE}}}"`'
                self.report.add(at, "variants would be written to one directory", facts=facts, hint=hint)
                return
            taken[filled] = name
            merge["output"]["path"] = filled

    def notes(self) -> Iterator[str]:
        """Say which values nobody reads.

        Those beside a matrix that gives every variant its own, where they could be left out; and those of a matrix where every input has
        one of its own, which goes before.
        """
        for at, told in self.labels.items():
            if len(at) == 1 and _overridden(self.merge, at[0]):
                yield f"`{told}` in the matrix of `{self.name}` has no effect: every input has its own; sweep `inputs.NAME.{told}`"
            if not _is_needed(at) and _stands(self.merge, at) and all(at in origins for origins in self.origins.values()):
                yield f"`{told}` of `{self.name}` has no effect beside its matrix, from which every variant has its own"


def _overridden(merge: Mapping[str, Any], key: str | int) -> bool:
    """Tell whether every input of a merge, or of its slices, says a parameter itself, for all tensors."""
    slices = merge.get("slices")
    parts = [merge, *(slices if isinstance(slices, list) else ())]
    lists = [part["inputs"] for part in parts if isinstance(part, dict) and isinstance(part.get("inputs"), list)]
    inputs = [one for listed in lists for one in listed]
    return bool(inputs) and all(isinstance(one, dict) and key in one and _is_total(one[key]) for one in inputs)


def _is_total(setting: object) -> bool:
    """Tell whether a setting has a value for every tensor: rules have where one of them has no condition."""
    rules = [one for one in setting if isinstance(one, dict)] if isinstance(setting, list) else []
    return not rules or any(not rule.keys() & {"filter", "layers"} for rule in rules)


def _is_needed(path: KeyPath) -> bool:
    """Tell whether the file would be no Modelfile without what stands at a path: an entry of a list, or the key that makes it one."""
    return isinstance(path[-1], int) or (path[-1] in _MAKERS and len(path) > 1 and isinstance(path[-2], int))


def _stands(value: object, path: KeyPath) -> bool:
    """Tell whether there is something at a path."""
    for part in path:
        inside: dict[Any, Any] = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        if part not in inside:
            return False
        value = inside[part]
    return True


def _refuse_many(merge: Mapping[str, Any], matrix: Mapping[str, Any], path: KeyPath, left: int, report: Report) -> None:
    """Refuse a matrix that would take long to be told of."""
    count = size(matrix)
    if left < 0:
        facts = (f"`{dotted(path)}` makes {count}",)
        report.add(path, f"there are more than {MOST_VARIANTS} variants", key=True, facts=facts, hint="sweep fewer values")
    elif count * _entries(merge) > MOST_COPIED:
        facts = (f"{count} variants of {_entries(merge)} keys and entries each",)
        report.add(path, "the matrix makes too much", key=True, facts=facts, hint="sweep fewer values")


def _entries(value: object) -> int:
    """Count keys and entries, however deep they are."""
    count, level = 0, [value]
    while level:
        count += len(level)
        level = [one for held in level for one in (held.values() if isinstance(held, dict) else held if isinstance(held, list) else ())]
    return count


def _copied(value: Any, depth: int = 16) -> Any:
    """Copy tables and lists, as deep as parameters are."""
    if depth and isinstance(value, dict):
        return {key: _copied(one, depth - 1) for key, one in value.items()}
    return [_copied(one, depth - 1) for one in value] if depth and isinstance(value, list) else value


def _check(matrix: object, path: KeyPath, report: Report) -> None:
    """Report what a matrix cannot be."""
    before = len(report.problems)
    if not isinstance(matrix, dict):
        hint = "write `matrix = { t = [0.3, 0.5] }`"
        report.add(path, "`matrix` must be a table of parameters", facts=(found(matrix),), hint=hint)
        return
    if not matrix:
        report.add(path, "the matrix is empty", key=True, hint="name a parameter and its values: `t = [0.3, 0.5]`")
    seen: dict[str, KeyPath] = {}
    own = {key: value for key, value in matrix.items() if key not in (INCLUDE, EXCLUDE)}
    for key, values, place in flat(own):
        name = label(key)
        if name in seen:
            report.add((*path, *place), f"`{plain(name)}` stands twice in the matrix", key=True, hint="keep one of them")
        seen[name] = place
        _check_values(values, plain(name), (*path, *place), report)
    for part in (INCLUDE, EXCLUDE):
        if part in matrix:
            _check_entries(matrix[part], part, (*path, part), report)
    if len(report.problems) == before and size(matrix) <= MOST_VARIANTS:
        _check_excluded(matrix, path, report)


def _check_values(values: object, name: str, path: KeyPath, report: Report) -> None:
    if not isinstance(values, list):
        report.add(path, f"`{name}` must be a list of values", facts=(found(values),), hint=f"write `{name} = [ … ]`")
        return
    if not values:
        report.add(path, f"`{name}` has no values", hint="name some, or leave it out")
    taken: set[str] = set()
    for i, value in enumerate(values):
        _check_value(value, f"{name}[{i}]", (*path, i), report)
        if shown(value) in taken:
            report.add((*path, i), f"`{plain(shown(value))}` stands twice in `{name}`", hint="remove one of them")
        taken.add(shown(value))


def _check_value(value: object, name: str, path: KeyPath, report: Report) -> None:
    numbers = isinstance(value, list) and value and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    if isinstance(value, bool | int | float | str) or numbers:
        return
    rules = isinstance(value, list) and any(isinstance(one, dict) for one in value)
    hint = 'sweep a value of a rule: `"t[0].value" = [0.3, 0.5]`' if rules else ""
    report.add(path, f"`{name}` must be a number, a string, true, false, or a list of numbers", facts=(found(value),), hint=hint)


def _check_entries(entries: object, name: str, path: KeyPath, report: Report) -> None:
    if not isinstance(entries, list) or not entries:
        report.add(path, f"`{name}` must be a list of tables", facts=(found(entries),), hint=f"write `{name} = [{{ t = 0.5 }}]`")
        return
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or not entry:
            report.add((*path, i), f"`{name}[{i}]` must be a table", facts=(found(entry),), hint="write `{ t = 0.5 }`")
            continue
        for _, value, place in flat(entry):
            _check_value(value, str(place[-1]), (*path, i, *place), report)


def _check_excluded(matrix: Mapping[str, Any], path: KeyPath, report: Report) -> None:
    """Report entries of `exclude` that exclude nothing, and a matrix of which nothing is left."""
    known, before = axes(matrix), len(report.problems)
    for i, entry in enumerate(matrix.get(EXCLUDE, ())):
        for key, _, place in flat(entry):
            if label(key) not in known:
                hint = nearest(label(key), known)
                facts = (f"in the matrix: {', '.join(known)}",)
                report.add((*path, EXCLUDE, i, *place), f"`{plain(label(key))}` is not swept", key=True, facts=facts, hint=hint)
        if len(report.problems) == before and not matching(matrix, entry):
            report.add((*path, EXCLUDE, i), "this excludes nothing", hint="give values that the lists have, or remove it")
    if len(report.problems) == before and not points(matrix):
        report.add(path, "every point of the matrix is excluded", key=True, hint="exclude fewer")

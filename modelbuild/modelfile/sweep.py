"""The points of a matrix, and what the variant of a merge at each of them is called.  Imports nothing heavy: shells ask for names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from msgspec import Struct

from modelbuild.modelfile.scan import LostError, key_path
from modelbuild.names import VARIANT, KeyPath

INCLUDE, EXCLUDE = "include", "exclude"
"""Keys of a matrix that are no parameters."""

_UNFIT = re.compile(r"[^A-Za-z0-9_.,=@+-]+")
_WHOLE = re.compile(r"\.0$")
_BITS = 64
_DEPTH = 16
"""Tables in tables that are looked into: no parameter is deeper."""


class Swept(Struct, frozen=True):
    """A value that a variant has from the matrix.

    Args:
        key: path of the parameter in the merge, as written: ("inputs", "code", "weight").
        value: what it is there.
        place: path of the value in the matrix: ("inputs", "code", "weight", 0), or ("include", 1, "t").

    """

    key: KeyPath
    value: Any
    place: KeyPath

    @property
    def label(self) -> str:
        """The parameter in a name and above a column: inputs.code.weight."""
        return label(self.key)


Point = tuple[Swept, ...]
"""The values of one variant, in the order in which the matrix declares their parameters."""


def label(key: KeyPath) -> str:
    """Write the path of a parameter as names of variants have it: without brackets and quotes, which shells take for theirs."""
    return _UNFIT.sub("-", ".".join(map(str, key)))


def variant(name: str, point: Point) -> str:
    """Return the name of a variant: x@density=0.5,t=0.3."""
    return name + VARIANT + ",".join(f"{one.label}={shown(one.value)}" for one in point)


def shown(value: object) -> str:
    """Write a value as it stands in names: equal numbers alike, a gradient as 0_0.5_1, text without what shells take for theirs."""
    match value:
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > _BITS:
            return "large"  # which the schema refuses, and Python may refuse to print
        case float():
            return _WHOLE.sub("", repr(value + 0.0))
        case list() | tuple():
            return "_".join(map(shown, value))
        case _:
            return _UNFIT.sub("-", str(value))


def flat(table: Mapping[str, Any], before: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, KeyPath]]:
    """Yield what stands in a table of parameters: the path it names, the value, and where it stands.

    `"inputs.code.weight" = 1` and `inputs.code.weight = 1` name the same.
    """
    for key, value in table.items():
        path = (*before, key)
        if isinstance(value, dict) and len(path) < _DEPTH:
            yield from flat(value, path)
        else:
            yield named(path), value, path


def named(path: KeyPath) -> KeyPath:
    """Return the path in the merge that the keys of a matrix name."""
    parts: list[str | int] = []
    for key in map(str, path):
        try:
            told, end = key_path(key)
        except LostError:
            told, end = (key,), len(key)
        parts += told if end == len(key) else (key,)
    return tuple(parts)


def axes(matrix: Mapping[str, Any]) -> dict[str, tuple[KeyPath, Sequence[Any], KeyPath]]:
    """Return the parameters of a matrix with the values of each, by label: see `flat`."""
    own = {key: value for key, value in matrix.items() if key not in (INCLUDE, EXCLUDE)}
    return {label(key): (key, values, place) for key, values, place in flat(own)}


def size(matrix: Mapping[str, Any]) -> int:
    """Return how many points there are at most."""
    lists = [len(values) for _, values, _ in axes(matrix).values()]
    return (prod(lists) if lists else 0) + len(matrix.get(INCLUDE, ()))


def points(matrix: Mapping[str, Any]) -> list[Point]:
    """Return the points of a matrix, as GitHub Actions takes `include` and `exclude`.

    Every combination of the lists, first parameter slowest, but for those that an entry of `exclude` matches in all that it
    says.  An entry of `include` is added to the combinations of the lists with which it agrees; where there are none it is a point of
    its own.
    """
    known = axes(matrix)
    lists = [[Swept(key, value, (*place, i)) for i, value in enumerate(values)] for key, values, place in known.values()]
    excluded = [{label(key): shown(value) for key, value, _ in flat(entry)} for entry in matrix.get(EXCLUDE, ())]
    kept = [_by_label(one) for one in (product(*lists) if lists else ())]
    kept = [point for point in kept if not any(_agrees(point, entry, needed=True) for entry in excluded)]
    extended, apart = [dict(point) for point in kept], []
    for i, entry in enumerate(matrix.get(INCLUDE, ())):
        added = _by_label([Swept(key, value, (INCLUDE, i, *place)) for key, value, place in flat(entry)])
        told = {name: shown(one.value) for name, one in added.items()}
        fits = [more for point, more in zip(kept, extended, strict=True) if _agrees(point, told, needed=False)]
        for more in fits:
            more.update({name: one for name, one in added.items() if name not in known})
        if not fits:
            apart.append(added)
    order = {name: i for i, name in enumerate(dict.fromkeys([*known, *(name for point in (*extended, *apart) for name in point)]))}
    return [tuple(sorted(point.values(), key=lambda one: order[one.label])) for point in (*extended, *apart)]


def matching(matrix: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry of `exclude` matches a combination of the lists."""
    known = {name: {shown(value) for value in values} for name, (_, values, _) in axes(matrix).items()}
    return all(shown(value) in known.get(label(key), ()) for key, value, _ in flat(entry))


def _by_label(values: Sequence[Swept]) -> dict[str, Swept]:
    return {one.label: one for one in values}


def _agrees(point: Mapping[str, Swept], entry: Mapping[str, str], *, needed: bool) -> bool:
    """Tell whether a combination has the values of an entry; what it does not have at all counts only where it is needed."""
    return all(shown(point[name].value) == told if name in point else not needed for name, told in entry.items())

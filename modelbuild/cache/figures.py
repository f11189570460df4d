"""What was measured of a merged tensor against what it was merged from: sums and counts, kept by content."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from msgspec import Struct

from modelbuild.digest import KeyHasher

if TYPE_CHECKING:
    from modelbuild.cache.index import Index
    from modelbuild.cache.layout import Json

REVISION = 1
"""Raised where the same tensors would give other figures."""

MOST_PARENTS = 8
"""Of more parents no cosines between each two are taken."""

_PREFIX = "q:"


def pairs(parents: int) -> tuple[tuple[int, int], ...]:
    """Return the pairs whose products are summed: 0 is the base, 1 to `parents` are the parents' deltas, then comes the result's."""
    result = parents + 1
    every = combinations_with_replacement(range(result + 1), 2)
    return tuple((i, j) for i, j in every if parents <= MOST_PARENTS or i in (0, j) or j == result)


class Figures(Struct, frozen=True):
    """What was measured of one tensor.

    Args:
        products: for each of `pairs(parents)`, the sum over all elements of the product, in float64: of the base r, the
            deltas d_i = x_i - r of the parents, and the delta d = y - r of the result.
        touched: elements in which a parent differs from the base.
        conflicts: elements in which two parents differ from it in opposite directions.
        changed: of those touched, elements in which the result differs from it too.
        differs: for each parent, elements in which it differs from the base.
        kept: for each parent, of those, elements that the result moves to the same side.
        numel: elements of the tensor.

    """

    products: tuple[float, ...]
    touched: int
    conflicts: int
    changed: int
    differs: tuple[int, ...]
    kept: tuple[int, ...]
    numel: int

    @property
    def parents(self) -> int:
        """How many there are."""
        return len(self.differs)

    @property
    def moved(self) -> float | None:
        """The norm of the result's delta over the norm of the base: |y - r| / |r|."""
        return self._norm_ratio(self.parents + 1)

    @property
    def cosine_to_base(self) -> float | None:
        """The cosine of the result and the base, as weights."""
        return self._cosine_to_base(self.parents + 1)

    @property
    def conflict_share(self) -> float | None:
        """Of the elements that parents change, the share in which two pull in opposite directions."""
        return self.conflicts / self.touched if self.touched and sum(count > 0 for count in self.differs) > 1 else None

    @property
    def changed_share(self) -> float | None:
        """Of the elements that parents change, the share that the result changes."""
        return self.changed / self.touched if self.touched else None

    def parent_moved(self, parent: int) -> float | None:
        """Return |x_i - r| / |r| of a parent, from 0."""
        return self._norm_ratio(parent + 1)

    def kept_share(self, parent: int) -> float | None:
        """Return, of the elements that a parent changes, the share that the result moves to the same side."""
        return self.kept[parent] / self.differs[parent] if self.differs[parent] else None

    def between(self, one: int, other: int) -> float | None:
        """Return the cosine of two parents: of their deltas, or of their weights where one of them is the base itself."""
        table = self._table
        key = (one + 1, other + 1)
        if key not in table:
            return None
        if self.differs[one] and self.differs[other]:
            return _cosine(table[key], table[key[0], key[0]], table[key[1], key[1]])
        return self._cosine_to_base(key[1] if self.differs[other] else key[0])

    @property
    def between_parents(self) -> float | None:
        """The mean of `between` over each two parents; None where there is one."""
        found = [self.between(i, j) for j in range(self.parents) for i in range(j)]
        known = [one for one in found if one is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None

    @property
    def _table(self) -> Mapping[tuple[int, int], float]:
        return dict(zip(pairs(self.parents), self.products, strict=True))

    def _norm_ratio(self, i: int) -> float | None:
        table = self._table
        return math.sqrt(table[i, i] / table[0, 0]) if 0 < table[0, 0] < math.inf and 0 <= table[i, i] < math.inf else None

    def _cosine_to_base(self, i: int) -> float | None:
        """Return the cosine of r and r + d_i."""
        table = self._table
        rr, rd, dd = table[0, 0], table[0, i], table[i, i]
        return _cosine(rr + rd, rr, rr + 2 * rd + dd)


def _cosine(product: float, xx: float, yy: float) -> float | None:
    if not (0 < xx < math.inf and 0 < yy < math.inf and math.isfinite(product)):
        return None
    return max(-1.0, min(1.0, product / (math.sqrt(xx) * math.sqrt(yy))))


def figures_key(base: str, parents: Sequence[str], result: str) -> str:
    """Return the key of figures: of the digests of what was compared, and of nothing else."""
    hasher = KeyHasher("figures")
    hasher.field("revision", REVISION)
    hasher.field("base", base)
    hasher.field("parents", tuple(parents))
    hasher.field("result", result)
    return hasher.key()


class FigureTable:
    """The figures in an index, under `q:`."""

    def __init__(self, index: Index) -> None:
        """Keep figures in `index`."""
        self._index = index

    def get_many(self, keys: Iterable[str]) -> dict[str, Figures]:
        """Return those that are known, by key."""
        found = self._index.get_many(_PREFIX + key for key in keys)
        return {key.removeprefix(_PREFIX): figures for key, value in found.items() if (figures := _thawed(value))}

    def put_many(self, found: Mapping[str, Figures]) -> None:
        """Store figures, whose sums are finite, in one transaction."""
        self._index.put_many({_PREFIX + key: _frozen(one) for key, one in found.items()})


def _frozen(one: Figures) -> list[Json]:
    return [[*one.products], one.touched, one.conflicts, one.changed, [*one.differs], [*one.kept], one.numel]


def _thawed(value: Json) -> Figures | None:
    """Read figures; None of what is none."""
    match value:
        case [list(products), int(touched), int(conflicts), int(changed), list(differs), list(kept), int(numel)]:
            sums = tuple(one for one in products if isinstance(one, float))
            one = tuple(one for one in differs if isinstance(one, int))
            other = tuple(one for one in kept if isinstance(one, int))
            if len(sums) == len(pairs(len(one))) and len(one) == len(other):
                return Figures(sums, touched, conflicts, changed, one, other, numel)
    return None

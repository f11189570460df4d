"""Which row of which model each row of the result comes from, as arrays; nothing here loops over tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from blake3 import blake3
from msgspec import Struct
from numpy.typing import NDArray

Index = NDArray[np.int64]

ZERO, MEAN = -1, -2
"""In `Rows.source`: no model's row, and the mean of several."""


class Rows(Struct, frozen=True, eq=False, dict=True):
    """For each row of a result where it comes from.

    Args:
        source: the number of the tensor that it is taken of, or ZERO, or MEAN; (rows,).
        row: which row of it; (rows,).
        means: for the rows that are means, in order, the row of each tensor, or -1 where it has none; (tensors, means).

    """

    source: Index
    row: Index
    means: Index

    @property
    def digest(self) -> str:
        """Digest of it all: part of keys."""
        hasher = blake3()
        for array in (self.source, self.row, self.means):
            hasher.update(f"{array.shape}".encode())
            hasher.update(np.ascontiguousarray(array, "<i8").tobytes())
        return hasher.hexdigest()

    def is_whole(self, number: int, rows: int) -> bool:
        """Tell whether this is a tensor as it is, of so many rows."""
        return len(self.source) == rows and bool((self.source == number).all() and (self.row == np.arange(rows)).all())

    def used(self) -> tuple[tuple[int, ...], Rows]:
        """Return the numbers of the tensors that are read, and the same with those alone, numbered anew."""
        taken = np.unique(self.source[self.source >= 0]).tolist()
        several = np.flatnonzero((self.means >= 0).any(1)).tolist() if self.means.size else []
        numbers = sorted({*taken, *several}) or [0]
        anew = np.full(max(len(self.means), max(numbers) + 1) + 2, MEAN, np.int64)  # the last two are ZERO and MEAN, from the end
        anew[numbers] = np.arange(len(numbers))
        anew[ZERO] = ZERO
        return tuple(numbers), Rows(anew[self.source], self.row, self.means[numbers])


def first_rows(count: int) -> Rows:
    """Take the first rows of a tensor."""
    return Rows(np.zeros(count, np.int64), np.arange(count), np.empty((1, 0), np.int64))


def rows_at(*places: tuple[int, int]) -> Rows:
    """Take single rows: each the number of a tensor, or ZERO, and the row there."""
    source, row = zip(*places, strict=True)
    return Rows(np.array(source, np.int64), np.array(row, np.int64), np.empty((1, 0), np.int64))


def index_of(ids: Mapping[str, int], rows: int, places: Mapping[str, int], total: int) -> Index:
    """Return for each row of the result a model's row of the same token, or -1.

    Args:
        ids: the model's, by token.
        rows: how many it has; tokens beyond have none.
        places: the result's, by token.
        total: rows of the result.

    """
    own = np.fromiter(ids.values(), np.int64, len(ids))
    to = np.fromiter((places.get(token, -1) for token in ids), np.int64, len(ids))
    index = np.full(total, -1, np.int64)
    held = (to >= 0) & (own < rows)
    index[to[held]] = own[held]
    padding = np.ones(max(total, rows), bool)  # rows that no token has, on either side, stay where they are
    padding[own[own < len(padding)]] = False
    taken = np.fromiter(places.values(), np.int64, len(places))
    padding[taken[taken < len(padding)]] = False
    spare = np.flatnonzero(padding[: min(total, rows)])
    index[spare] = spare
    return index


def rows_of(indices: Sequence[Index], own: int, base: int, chosen: Mapping[int, tuple[bool, int, int]]) -> Rows:
    """Return where each row of the result comes from, for one model.

    A row that it lacks is the base's; else the only one there is; else the mean of all there are, or zero.

    Args:
        indices: of every model: see `index_of`.
        own: the number of the model.
        base: the number of the model that is asked first for what it lacks.
        chosen: rows that are told: whether the model's own is passed over too, the source, and its row.

    """
    table = np.stack(indices)
    has = table >= 0
    count = has.sum(0)
    others = np.where(has[base], base, np.where(count == 1, has.argmax(0), np.where(count > 1, MEAN, ZERO)))
    source = np.where(has[own], own, others).astype(np.int64)
    row = np.where(source >= 0, np.take_along_axis(table, np.maximum(source, 0)[None], 0)[0], 0)
    for place, (force, number, at) in chosen.items():
        if force or not has[own][place]:
            source[place], row[place] = number, at
    return Rows(source, row, table[:, source == MEAN])

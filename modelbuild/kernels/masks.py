"""The random masks of one tensor's inputs, drawn chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.operands import length
from modelbuild.kernels.stream import limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from modelbuild.kernels import Array, Stream

WHOLE = 8
"""Chunks of a tensor whose masks are kept from one pass to the next as they are, in room that the next tensor's take over."""

KEPT_MOST = 32 << 20
"""Bytes of masks of a larger one that are kept, a bit for each element; what is beyond is drawn again, which gives the same."""


class Masks:
    """Masks of several inputs; see `Kernels.mask` for what they are a function of.

    Args:
        stream: the inputs, and the keys of their masks.
        probabilities: with which each keeps an element.

    """

    def __init__(self, stream: Stream, probabilities: Sequence[float]) -> None:
        """Draw nothing yet."""
        self._stream, self._probabilities = stream, probabilities
        self._whole = stream.numel <= WHOLE * stream.chunk
        self._drawn: set[tuple[int, int]] = set()
        self._packed: dict[tuple[int, int], Array] = {}
        self._left = KEPT_MOST

    def draw(self, i: int, offset: int, count: int) -> Array:
        """Return the mask of a chunk of input `i`, until the next is asked for, and keep it for `again`."""
        mask = self._mask(i, offset, count)
        self._drawn.add((i, offset))
        if not self._whole and self._left > 0:
            self._packed[i, offset] = packed = self._stream.kernels.packed(mask)
            self._left -= packed.nbytes
        return mask

    def again(self, i: int, offset: int, count: int) -> Array:
        """Return a mask in the last pass: as it was kept, else drawn."""
        if (packed := self._packed.pop((i, offset), None)) is not None:
            return self._stream.kernels.unpacked(packed, count)
        return self._room(i, offset, count) if self._whole and (i, offset) in self._drawn else self._mask(i, offset, count)

    def _mask(self, i: int, offset: int, count: int) -> Array:
        return self._stream.kernels.mask(self._stream.streams[i], self._probabilities[i], offset, count, self._room(i, offset, count))

    def _room(self, i: int, offset: int, count: int) -> Array:
        if not self._whole:
            return self._stream.marks(i, count)
        return self._stream.marks(i, self._stream.numel)[offset : offset + count]


def columns_of(shape: Sequence[int]) -> int:
    """Return the length of a row; one number is a row of one."""
    return max(1, shape[-1]) if shape else 1


def limits(columns: int, density: float, epsilon: float) -> NDArray[np.uint64]:
    """Return, for each rank in a row, of 2^32 numbers how many keep an element: from density - epsilon to density + epsilon.

    Epsilon is at most what keeps both in [0, 1]; a row of one has the density.
    """
    import numpy as np

    epsilon = min(epsilon, density, 1.0 - density)
    if columns == 1:
        return np.array([limit(density)], np.uint64)
    probability = density - epsilon + 2.0 * epsilon * (np.arange(2 * columns - 1) / (2 * columns - 2))
    return np.clip(np.floor(probability * 2.0**32), 0.0, 2.0**32).astype(np.uint64)


class RankedMasks:
    """Masks by rank in rows; rows may be longer than chunks, and chunks end anywhere in them.

    All masks are kept for the last pass, a bit for each element: to draw one again takes its rows.

    Args:
        stream: the inputs, and the keys of their masks.
        densities: the mean probability for each.
        epsilons: how far it goes up and down.

    """

    def __init__(self, stream: Stream, densities: Sequence[float], epsilons: Sequence[float]) -> None:
        """Draw nothing yet."""
        self._stream, self._columns = stream, columns_of(stream.shape)
        self._limits = [limits(self._columns, *both) for both in zip(densities, epsilons, strict=True)]
        self._kept: dict[tuple[int, int], Array] = {}
        self._rows: Array = stream.kernels.room(min(stream.chunk + 2 * self._columns, stream.numel))

    def draw(self, i: int, offset: int) -> tuple[Array, Array]:
        """Return a chunk of input `i`, until the next is drawn, and its mask, and keep that for `again`."""
        stream, kernels = self._stream, self._stream.kernels
        count = min(stream.chunk, stream.numel - offset)
        first = offset // self._columns * self._columns
        stop = min(-(-(offset + count) // self._columns) * self._columns, stream.numel)
        rows = self._rows[: stop - first]
        for start in range(first, stop, stream.chunk):
            (piece,) = stream.read(start, min(stream.chunk, stop - start), i)
            kernels.copy(piece, rows[start - first : start - first + length(piece)])
        here = slice(offset - first, offset - first + count)
        mask = kernels.ranked_mask(rows, self._columns, stream.streams[i], self._limits[i], first)[here]
        self._kept[i, offset] = kernels.packed(mask)
        return rows[here], mask

    def again(self, i: int, offset: int, count: int) -> Array:
        """Return a mask in the last pass, when no more are drawn."""
        self._rows = None
        return self._stream.kernels.unpacked(self._kept.pop((i, offset)), count)

"""The random masks of one tensor's inputs, drawn chunk by chunk."""

from __future__ import annotations

from math import inf
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

KEPT = 32
"""Bytes of masks of a larger one that are kept for each element of a chunk, a bit for each of the tensor's; what is beyond is drawn
again, which gives the same."""


KEPT_WHOLE = 1 / 8
"""Bytes of masks by rank that are kept for each element of a tensor."""


class _Kept:
    """Where masks lie, from the pass that draws them to the one that reads them again.

    Args:
        stream: the inputs that they are of.
        most: bytes of packed masks at most.

    """

    def __init__(self, stream: Stream, most: float) -> None:
        self._stream, self._left = stream, most
        self._whole = stream.numel <= WHOLE * stream.chunk
        self._lying: set[tuple[int, int]] = set()
        self._packed: dict[tuple[int, int], Array] = {}

    def room(self, i: int, offset: int, count: int) -> Array:
        """Return where a mask of input `i` is to be drawn."""
        if not self._whole:
            return self._stream.marks(i, count)
        return self._stream.marks(i, self._stream.numel)[offset : offset + count]

    def keep(self, i: int, offset: int, mask: Array) -> None:
        """Keep what was drawn into its room."""
        if self._whole:
            self._lying.add((i, offset))
        elif self._left > 0:
            self._packed[i, offset] = packed = self._stream.kernels.packed(mask)
            self._left -= packed.nbytes

    def again(self, i: int, offset: int, count: int) -> Array | None:
        """Return what was kept; what was packed comes once."""
        if (i, offset) in self._lying:
            return self.room(i, offset, count)
        packed = self._packed.pop((i, offset), None)
        return None if packed is None else self._stream.kernels.unpacked(packed, count)


class Masks:
    """Masks of several inputs; see `Kernels.mask` for what they are a function of.

    Args:
        stream: the inputs, and the keys of their masks.
        probabilities: with which each keeps an element.

    """

    def __init__(self, stream: Stream, probabilities: Sequence[float]) -> None:
        """Draw nothing yet."""
        self._stream, self._probabilities, self._kept = stream, probabilities, _Kept(stream, KEPT * stream.chunk)

    def draw(self, i: int, offset: int, count: int) -> Array:
        """Return the mask of a chunk of input `i`, until the next is asked for, and keep it for `again`."""
        mask = self._drawn(i, offset, count)
        self._kept.keep(i, offset, mask)
        return mask

    def again(self, i: int, offset: int, count: int) -> Array:
        """Return a mask in the last pass: as it was kept, else drawn."""
        kept = self._kept.again(i, offset, count)
        return self._drawn(i, offset, count) if kept is None else kept

    def _drawn(self, i: int, offset: int, count: int) -> Array:
        room = self._kept.room(i, offset, count)
        return self._stream.kernels.mask(self._stream.streams[i], self._probabilities[i], offset, count, room)


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

    All masks are kept for the last pass: to draw one again takes its rows.

    Args:
        stream: the inputs, and the keys of their masks.
        densities: the mean probability for each.
        epsilons: how far it goes up and down.

    """

    def __init__(self, stream: Stream, densities: Sequence[float], epsilons: Sequence[float]) -> None:
        """Draw nothing yet."""
        self._stream, self._columns = stream, columns_of(stream.shape)
        self._limits = [limits(self._columns, *both) for both in zip(densities, epsilons, strict=True)]
        self._kept = _Kept(stream, inf)
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
        room = self._kept.room(i, first, len(rows))
        mask = kernels.ranked_mask(rows, self._columns, stream.streams[i], self._limits[i], first, room)[here]
        self._kept.keep(i, offset, mask)
        return rows[here], mask

    def again(self, i: int, offset: int, count: int) -> Array:
        """Return a mask in the last pass, when no more are drawn."""
        self._rows = None
        mask = self._kept.again(i, offset, count)
        assert mask is not None
        return mask

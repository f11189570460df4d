"""What brings a sum of magnitudes back that dropping took away."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from modelbuild.kernels.operands import length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modelbuild.kernels import Array, Kernels, Operand, Stream

    Kept = Callable[[Kernels, Sequence[Operand], int], Iterable[Operand]]
    """kept(kernels, inputs, offset) -> what is left of a chunk of each input"""

_NOTHING = 1e-7
"""A sum of magnitudes below this is left as it is: there is nothing to scale."""


def restoring(before: float, after: float) -> float:
    """Return the factor by which a sum of magnitudes is what it was; 1 where there is nothing to scale."""
    return before / after if before >= _NOTHING and after >= _NOTHING else 1.0


class Sums:
    """The sums of magnitudes of a tensor's inputs, chunk by chunk: of all elements, and of those that a mask keeps.

    Args:
        stream: the inputs.
        count: how many they are.

    """

    def __init__(self, stream: Stream, count: int) -> None:
        """Start from nothing."""
        self._stream, self._sums, self._unseen = stream, [(0.0, 0.0)] * count, set(range(count))

    def add(self, i: int, x: Operand, mask: Array) -> None:
        """Add a chunk of input `i`."""
        (before, after), kernels = self._sums[i], self._stream.kernels
        found = kernels.abs_sums(x, mask)
        self._unseen.discard(i)
        self._sums[i] = kernels.total((before, *found[:, 0])), kernels.total((after, *found[:, 1]))

    def found(self) -> list[tuple[float, float]]:
        """Return both sums of each; where one is not finite, as with any element that is not, or unseen, the stream is doubted."""
        if self._unseen or not all(isfinite(before) for before, _ in self._sums):
            self._stream.doubt()
        return self._sums


def factors(kernels: Kernels, chunks: Iterable[tuple[int, Sequence[Operand]]], kept: Kept) -> list[float]:
    """Return the factor of each input, from one pass over all of them.

    Args:
        kernels: what sums.
        chunks: (offset, one operand per input), one after another; whole tensors are one chunk.
        kept: drops.

    """
    sums: list[list[float]] = []
    for offset, inputs in chunks:
        sums = sums or [[0.0, 0.0] for _ in inputs]
        everything = kernels.mask(0, 1.0, offset, length(inputs[0]))
        for so_far, both in zip(sums, zip(inputs, kept(kernels, inputs, offset), strict=True), strict=True):
            for j, x in enumerate(both):
                so_far[j] = kernels.total((so_far[j], *kernels.abs_sums(x, everything)[:, 0]))
    return [restoring(*both) for both in sums]


def scaled(kernels: Kernels, x: Operand, factor: float, offset: int) -> Operand:
    """Return factor * x, rounded."""
    return kernels.masked(x, kernels.mask(0, 1.0, offset, length(x)), factor)

"""What brings a sum of magnitudes back that dropping took away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.operands import length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modelbuild.kernels import Kernels, Operand

    Kept = Callable[[Kernels, Sequence[Operand], int], Iterable[Operand]]
    """kept(kernels, inputs, offset) -> what is left of a chunk of each input"""

_NOTHING = 1e-7
"""A sum of magnitudes below this is left as it is: there is nothing to scale."""


def restoring(before: float, after: float) -> float:
    """Return the factor by which a sum of magnitudes is what it was; 1 where there is nothing to scale."""
    return before / after if before >= _NOTHING and after >= _NOTHING else 1.0


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

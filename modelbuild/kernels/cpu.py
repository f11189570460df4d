"""The kernels for CPU: numpy arrays in, compiled loops inside, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelbuild.kernels import BLOCK, combine, convert, philox, rank, reduce, total
from modelbuild.kernels.select import Between, pattern_of
from modelbuild.kernels.stream import counter, key, limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from modelbuild.kernels.select import Cut

    Bytes = NDArray[np.uint8]
    F32s = NDArray[np.float32]
    F64s = NDArray[np.float64]
    I32s = NDArray[np.int32]
    I64s = NDArray[np.int64]


class Cpu:
    """See `Kernels` for what each function does.  Safe to call from several threads at once."""

    total = staticmethod(total)

    def widen(self, raw: Bytes, dtype: str, out: F32s) -> int:
        """Read storage as float32."""
        stored, kernel = convert.WIDEN[dtype]
        values = raw.view(stored)
        same_length(values, out)
        return int(kernel(values, out))

    def narrow(self, x: F32s, dtype: str, raw: Bytes) -> int:
        """Write float32 as storage."""
        stored, kernel = convert.NARROW[dtype]
        values = raw.view(stored)
        same_length(x, values)
        return int(kernel(x, values))

    def subtract(self, x: F32s, base: F32s, out: F32s) -> None:
        """Write x - base."""
        same_length(x, base, out)
        combine.subtract(x, base, other_than(x, out))

    def add(self, x: F32s, y: F32s, out: F32s) -> None:
        """Write x + y."""
        same_length(x, y, out)
        combine.add(x, y, other_than(x, out))

    def scale(self, x: F32s, factor: float, out: F32s) -> None:
        """Write factor * x."""
        same_length(x, out)
        combine.scale(x, np.float32(factor), other_than(x, out))

    def weighted_sum(self, inputs: Sequence[F32s], weights: Sequence[float], divisor: float, out: F32s) -> None:
        """Write the weighted sum."""
        same_length(out, *inputs)
        combine.weighted_sum(tuple(inputs), singles(weights), np.float32(divisor), out)

    def mix(self, a: F32s, ca: float, b: F32s, cb: float, out: F32s) -> None:
        """Write ca * a + cb * b."""
        self.weighted_sum((a, b), (ca, cb), 1.0, out)

    def dots(self, a: F32s, b: F32s) -> F64s:
        """Sum products by block."""
        same_length(a, b)
        sums = np.empty(-(-a.size // BLOCK), np.float64)
        reduce.dots(a, b, sums)
        return sums

    def abs_sums(self, x: F32s) -> F64s:
        """Sum magnitudes by block."""
        sums = np.empty(-(-x.size // BLOCK), np.float64)
        reduce.abs_sums(x, sums)
        return sums

    def consensus(self, deltas: Sequence[F32s], weights: Sequence[float], normalize: bool, scale: float, out: F32s) -> None:
        """Elect signs and add up who agrees."""
        same_length(out, *deltas)
        combine.consensus(tuple(deltas), singles(weights), normalize, np.float32(scale), out)

    def trim(self, x: F32s, cut: Cut, offset: int, out: F32s) -> None:
        """Zero what the cut drops."""
        same_length(x, out)
        rank.trim(x, pattern_of(cut.magnitude), min(max(cut.last + 1 - offset, 0), x.size), other_than(x, out))

    def drop(self, x: F32s, stream: int, probability: float, offset: int, factor: float, out: F32s) -> None:
        """Zero elements at random."""
        same_length(x, out)
        k0, k1 = map(np.uint64, key(stream))
        philox.drop(x, (k0, k1), np.uint64(limit(probability)), np.uint64(counter(offset)), np.float32(factor), other_than(x, out))

    def magnitudes(self, x: F32s, step: int) -> I32s:
        """Return every step-th pattern."""
        return x[::step].view(np.int32) & np.int32(0x7FFFFFFF)

    def bracket(self, x: F32s, low: int, high: int) -> Between:
        """Count around a bracket, collect inside."""
        found = np.empty(x.size + 1, np.int32)
        above, at_high, at_low, size = rank.bracket(x, np.int32(low), np.int32(high), found)
        return Between(above, at_high, at_low, found[:size].copy())

    def magnitude_histogram(self, x: F32s, counts: I64s) -> None:
        """Count high halves."""
        rank.magnitude_histogram(x, counts)

    def refine_histogram(self, x: F32s, high_half: int, counts: I64s) -> None:
        """Count low halves under one high half."""
        rank.refine_histogram(x, high_half, counts)

    def count_equal(self, x: F32s, pattern: int) -> int:
        """Count one pattern."""
        return int(rank.count_equal(x, np.int32(pattern)))

    def nth_equal(self, x: F32s, pattern: int, n: int) -> int:
        """Find the n-th of one pattern."""
        return int(rank.nth_equal(x, np.int32(pattern), n))


def singles(numbers: Sequence[float]) -> tuple[np.float32, ...]:
    """Round Python floats to float32."""
    return tuple(map(np.float32, numbers))


def same_length(first: NDArray[np.generic], *others: NDArray[np.generic]) -> None:
    """Refuse arrays that a compiled loop would run over the end of."""
    if any(other.size != first.size for other in others):
        raise ValueError(f"arrays of different lengths: {first.size}, {', '.join(str(other.size) for other in others)}")


def other_than(x: F32s, out: F32s) -> F32s | None:
    """Return `out`, or None where it is `x`: kernels that work in place are compiled for it."""
    return None if out is x else out

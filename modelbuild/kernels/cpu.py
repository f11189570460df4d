"""The kernels for CPU: numpy arrays in, compiled loops inside, no torch."""

from __future__ import annotations

from itertools import accumulate, islice
from typing import TYPE_CHECKING

import numpy as np

from modelbuild.kernels import BLOCK, GROUP, LANES, NEAREST, total
from modelbuild.kernels.machine import Loop
from modelbuild.kernels.operands import Delta, Dropped, Masked, Plus, Trimmed, length
from modelbuild.kernels.select import Between, pattern_of
from modelbuild.kernels.stream import aligned, key, limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from modelbuild.kernels import Operand
    from modelbuild.kernels.select import Cut

    Stored = NDArray[np.generic]
    Bools = NDArray[np.bool_]
    F32s = NDArray[np.float32]
    F64s = NDArray[np.float64]
    I32s = NDArray[np.int32]
    I64s = NDArray[np.int64]

STORED: dict[str, type[np.generic]] = {"F64": np.float64, "F32": np.float32, "F16": np.int16, "BF16": np.uint16}
"""The numpy type that tells kernels the storage type: see `access`."""

ONE = np.float32(1)

FUSED = 6
"""Inputs combined in one pass; bounds how many versions of a loop can get compiled."""

TILE = 4096
"""Elements whose random words are drawn, or whose patterns are found, at a time; they stay in the nearest cache."""

OF_AN_OCTAVE = 32
"""Elements of a row for each of the classes that magnitudes between a power of two and the next are counted in, roughly."""

copy, write_products, add_products, add_signs, consensus_fused, gather, finish = (
    Loop(f"combine.{name}") for name in ("copy", "write_products", "add_products", "add_signs", "consensus_fused", "gather", "finish")
)
not_finite = {
    np.dtype(stored): Loop(f"convert.not_finite_{name}")
    for stored, name in ((np.float64, "float"), (np.float32, "float"), (np.int16, "half"), (np.uint16, "bf16"))
}
mask, by_rank = Loop("philox.mask"), Loop("ranked.by_rank")
magnitudes, brackets, magnitude_histogram, refine_histogram, count_equal, nth_equal = (
    Loop(f"rank.{name}") for name in ("magnitudes", "brackets", "magnitude_histogram", "refine_histogram", "count_equal", "nth_equal")
)
near = Loop("swap.near")
products, products_of_three, abs_sums = (Loop(f"reduce.{name}") for name in ("products", "products_of_three", "abs_sums"))


class Cpu:
    """See `Kernels` for what each function does.  Safe to call from several threads at once."""

    total = staticmethod(total)

    def stored(self, raw: NDArray[np.uint8], dtype: str) -> Stored:
        """See bytes as numbers."""
        return raw.view(STORED[dtype])

    def not_finite(self, *arrays: Stored) -> tuple[int, ...]:
        """Count NaN and infinity: of arrays of one type in one go."""
        if len({x.dtype for x in arrays}) > 1:
            return tuple(count for x in arrays for count in self.not_finite(x))
        found = np.zeros(len(arrays), np.int64)
        not_finite[arrays[0].dtype](arrays, found)
        return tuple(found.tolist())

    def trimmed(self, x: Operand, cut: Cut, offset: int) -> Operand:
        """Drop what the cut drops."""
        n = length(x)
        return Trimmed(x, np.int32(pattern_of(cut.magnitude)), np.int32(min(max(cut.last + 1 - offset, 0), n)))

    def dropped(self, x: Operand, cut: Cut, offset: int) -> Operand:
        """Drop what the cut keeps."""
        return Dropped(*self.trimmed(x, cut, offset))

    def mask(self, stream: int, probability: float, offset: int, count: int, into: Bools | None = None) -> Bools:
        """Draw a mask."""
        kept, words = self._room(into, count), np.empty(TILE // 4, np.uint32)
        equal, rests = np.empty((2, TILE + 1), np.uint32)
        k0, k1 = map(np.uint64, key(stream))
        most, first = np.uint64(limit(probability)), np.uint64(aligned(offset))
        mask(k0, k1, most, first, words, words.view(np.uint8), equal, rests, kept)
        return kept

    def ranked_mask(
        self, x: Operand, columns: int, stream: int, limits: NDArray[np.uint64], offset: int, into: Bools | None = None
    ) -> Bools:
        """Draw a mask by rank."""
        if length(x) % columns or len(limits) != 2 * columns - 1:
            raise ValueError(f"{length(x)} elements and {len(limits)} limits for rows of {columns}")
        kept, shift = self._room(into, length(x)), 23 - min(max((columns // OF_AN_OCTAVE).bit_length(), 3), 9)
        uppers = (1 << 31 - shift) + 1
        words, patterns, places, undecided, ranks = (
            np.empty(size, np.uint32) for size in ((columns + 33) // 4, columns, uppers, columns + 1, uppers)
        )
        ranked, firsts = np.full(uppers, -1, np.int32).view(np.uint32), words.view(np.uint8)
        at, k0, k1 = map(np.uint64, (offset, *key(stream)))
        by_rank(x, at, k0, k1, limits, columns, np.uint32(shift), words, firsts, patterns, places, undecided, ranked, ranks, kept)
        return kept

    def room(self, count: int) -> F32s:
        """Allocate."""
        return np.empty(count, np.float32)

    def marks(self, count: int) -> Bools:
        """Allocate."""
        return np.empty(count, np.bool_)

    def packed(self, mask: Bools) -> NDArray[np.uint8]:
        """Keep one bit of each byte."""
        return np.packbits(mask)

    def unpacked(self, packed: NDArray[np.uint8], count: int) -> Bools:
        """Write the bits as bytes again."""
        return np.unpackbits(packed, count=count).view(np.bool_)

    def masked(self, x: Operand, mask: Bools, factor: float) -> Operand:
        """Drop what is not in the mask."""
        if len(mask) != length(x):
            raise ValueError(f"a mask of {len(mask)} for {length(x)} elements")
        return Masked(x, mask, np.float32(factor))

    def floats(self, x: Operand) -> F32s:
        """Compute an operand."""
        out = np.empty(length(x), np.float32)
        copy(x, out, out.size)
        return out

    def copy(self, x: Operand, out: Operand) -> None:
        """Write x."""
        copy(x, out, same_length(out, x))

    def weighted_sum(self, inputs: Sequence[Operand], weights: Sequence[float], divisor: float, scale: float, out: Operand) -> None:
        """Write the weighted sum."""
        n, operands, factors = same_length(out, *inputs), self._alike(inputs), singles(weights)
        if len(operands) > FUSED:
            operands, factors = (self._summed(operands, factors),), (ONE,)
        write_products(operands, factors, np.float32(divisor), np.float32(scale), out, n)

    def consensus(
        self, deltas: Sequence[Operand], weights: Sequence[float], normalize: bool, scale: float, out: Operand, *, count: bool = False
    ) -> None:
        """Elect signs and add up who agrees."""
        n, operands, factors = same_length(out, *deltas), self._alike(deltas), singles(weights)
        if len(operands) <= FUSED and not count:
            consensus_fused(operands, factors, int(normalize), np.float32(scale), out, n)
            return
        elected = self._counted(operands, factors) if count else self._summed(operands, factors)
        mixed, divisor = np.zeros(n, np.float32), np.zeros(n, np.float32)
        for k in range(0, len(operands), FUSED):
            gather(operands[k : k + FUSED], factors[k : k + FUSED], elected, mixed, divisor, n)
        finish(mixed, divisor, int(normalize), np.float32(scale), out, n)

    def products(self, x: Operand, y: Operand, z: Operand | None = None) -> F64s:
        """Sum products by block."""
        inputs = (x, y) if z is None else (x, y, z)
        n, pairs = same_length(*inputs), 3 * len(inputs) - 3
        sums, lanes = np.empty((-(-n // BLOCK), pairs), np.float64), tuple(np.empty((pairs, LANES), np.float64))
        (products if z is None else products_of_three)(*inputs, n, lanes, sums)
        return sums

    def abs_sums(self, x: Operand, mask: Bools) -> F64s:
        """Sum magnitudes by block."""
        n = same_length(x, mask)
        sums, lanes = np.empty((-(-n // BLOCK), 2), np.float64), np.empty((2, LANES), np.float64)
        abs_sums(x, mask, n, lanes[0], lanes[1], sums)
        return sums

    def near(self, x: Operand, y: Operand, t: float, out: Operand) -> None:
        """Approach y by about t."""
        near(x, y, *singles((t, NEAREST)), out, same_length(out, x, y))

    def magnitudes(self, x: Operand, runs: int, length: int, apart: int) -> I32s:
        """Return patterns."""
        if min(runs, length, apart) < 0 or same_length(x) < apart * (runs - 1) + length:
            raise ValueError(f"{runs} runs of {length} elements, {apart} apart, are not in {same_length(x)}")
        found = np.empty((runs, length), np.int32)
        magnitudes(x, apart, found)
        return found

    def brackets(self, inputs: Sequence[Operand], ends: Sequence[Sequence[tuple[int, int]]]) -> tuple[tuple[Between, ...], ...]:
        """Count around brackets, collect inside."""
        n, seen = same_length(*inputs), [tuple[Between, ...]()] * len(inputs)
        for which in alike(inputs, ends):
            wanted = [both for k in which for both in ends[k]]
            lows, highs = (np.array([both[end] for both in wanted], np.int32) for end in (0, 1))
            firsts = np.array([0, *accumulate(len(ends[k]) for k in which)], np.int64)
            found, counts = np.empty((len(wanted), n), np.int32), np.zeros((len(wanted), 5), np.int64)
            patterns, masks = np.empty((len(which), TILE), np.int32), np.empty(TILE // GROUP, np.uint32)
            brackets(tuple(inputs[k] for k in which), n, firsts, lows, highs, patterns, masks, found, counts)
            rest = map(between, counts.tolist(), found)
            for k in which:
                seen[k] = tuple(islice(rest, len(ends[k])))
        return tuple(seen)

    def magnitude_histogram(self, x: Operand, counts: I64s) -> None:
        """Count high halves."""
        magnitude_histogram(x, length(x), counts)

    def refine_histogram(self, x: Operand, high_half: int, counts: I64s) -> None:
        """Count low halves under one high half."""
        refine_histogram(x, length(x), high_half, counts)

    def count_equal(self, x: Operand, pattern: int) -> int:
        """Count one pattern."""
        found = np.empty(1, np.int64)
        count_equal(x, length(x), np.int32(pattern), found)
        return int(found[0])

    def nth_equal(self, x: Operand, pattern: int, n: int) -> int:
        """Find the n-th of one pattern."""
        found = np.empty(1, np.int64)
        nth_equal(x, length(x), np.int32(pattern), n, found)
        return int(found[0])

    def _room(self, into: Bools | None, count: int) -> Bools:
        """Return room for a mask: the caller's, where there is some."""
        if into is not None and len(into) != count:
            raise ValueError(f"room for {len(into)} of {count} elements")
        return self.marks(count) if into is None else into

    def _summed(self, inputs: tuple[Operand, ...], weights: tuple[np.float32, ...]) -> F32s:
        """Return the weighted sum of more inputs than are combined in one pass."""
        n = length(inputs[0])
        total = np.empty(n, np.float32)
        write_products(inputs[:FUSED], weights[:FUSED], ONE, ONE, total, n)
        for k in range(FUSED, len(inputs), FUSED):
            add_products(inputs[k : k + FUSED], weights[k : k + FUSED], total, n)
        return total

    def _counted(self, inputs: tuple[Operand, ...], weights: tuple[np.float32, ...]) -> F32s:
        """Return how many products are positive, less those that are negative."""
        n = length(inputs[0])
        balance = np.zeros(n, np.float32)
        for k in range(0, len(inputs), FUSED):
            add_signs(inputs[k : k + FUSED], weights[k : k + FUSED], balance, n)
        return balance

    def _alike(self, inputs: Sequence[Operand]) -> tuple[Operand, ...]:
        """Return operands of one type: a loop over a tuple unrolls for such alone."""
        return tuple(inputs) if len(set(map(kind, inputs))) == 1 else tuple(self.floats(x) for x in inputs)


def kind(operand: Operand) -> object:
    """Return what makes two operands the same to a compiled kernel."""
    if isinstance(operand, np.ndarray):
        return operand.dtype.char
    return type(operand), kind(operand[0]), kind(operand.base) if isinstance(operand, Delta) else ""


def alike(inputs: Sequence[Operand], ends: Sequence[Sequence[object]]) -> Iterator[list[int]]:
    """Yield which inputs a loop takes together: those of one kind, `FUSED` at most, of which something is wanted."""
    of_kind: dict[object, list[int]] = {}
    for k, (x, of_one) in enumerate(zip(inputs, ends, strict=True)):
        if of_one:
            of_kind.setdefault(kind(x), []).append(k)
    for which in of_kind.values():
        yield from (which[k : k + FUSED] for k in range(0, len(which), FUSED))


def between(counts: list[int], found: I32s) -> Between:
    """Return what a bracket saw; its patterns are copied out of the room there was for more."""
    above, at_high, at_low, size, highest = counts
    return Between(above, at_high, at_low, found[:size].copy(), highest)


def singles(numbers: Sequence[float]) -> tuple[np.float32, ...]:
    """Round Python floats to float32."""
    return tuple(map(np.float32, numbers))


def same_length(first: Operand, *others: Operand) -> int:
    """Return the length that operands share; refuse those that a compiled loop would run over the end of."""
    lengths: list[int] = []
    for operand in (first, *others):
        measure(operand, lengths)
    if len(set(lengths)) > 1:
        raise ValueError(f"arrays of different lengths: {', '.join(map(str, lengths))}")
    return lengths[0]


def measure(operand: Operand, lengths: list[int]) -> None:
    """Append the lengths of the arrays in an operand."""
    if isinstance(operand, np.ndarray):
        lengths.append(operand.size)
        return
    measure(operand[0], lengths)
    if isinstance(operand, Delta | Plus):
        measure(operand.base, lengths)

"""The tensor arithmetic that methods share, for CPU (numba) and for torch devices, bit for bit the same.

A tensor is seen chunk by chunk.  Kernels read operands: chunks as they are stored, or formulas over such, which they
compute where they read, so that a merge is one pass from stored bytes to stored bytes.  `load` picks the implementation;
`Kernels` is the contract.  Importing this package imports neither numpy nor numba nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from modelbuild.kernels.select import Between, Cut

Array = Any
"""A contiguous 1-D chunk of n < 2^31 numbers, numpy or torch: float32, or of a storage type, as `Kernels.stored` gives it."""

Operand = Any
"""What kernels read: an array, or a formula over arrays (`modelbuild.kernels.operands`), of n elements."""

Place = Any
"""Where kernels write: an array, or `Plus` of one and a base, which is added first.  None of what is read."""

Host = Any
"""A numpy array in host memory, whatever the device of the chunks."""

BLOCK = 65536
"""Elements of one reduction block.  All chunks of a tensor but its last hold a multiple of it."""

LANES = 1024
"""Running sums of one reduction block.  BLOCK and LANES are in the bytes: changing either changes results."""


def load(device: str) -> Kernels:
    """Return the kernels of a device.

    Args:
        device: "cpu" for numba, which never imports torch; else a torch device, as in "cuda:0".  "torch:cpu" is
            the torch twin on the CPU, the oracle of the compiled kernels.  What both ask of the host is compiled too: `standing`.

    """
    if device == "cpu":
        from modelbuild.kernels.cpu import Cpu

        return Cpu()
    from modelbuild.kernels.twin import Torch

    return Torch(device.removeprefix("torch:"))


def total(partials: Iterable[float]) -> float:
    """Add block results left to right in float64, starting from 0.

    Written out because the built-in `sum` compensates its rounding from Python 3.12 on.
    """
    result = 0.0
    for partial in partials:
        result += float(partial)
    return result


def divisor(weights: Sequence[float], normalize: bool) -> float:
    """Return what a weighted sum of task vectors is divided by: the sum of the weights, or 1 where that is below 1e-8."""
    summed = total(weights) if normalize else 1.0
    return summed if abs(summed) >= 1e-8 else 1.0


GROUP = 32
"""Elements that are looked for in one go: a number has a bit for each."""

NEAREST = 1e-6
"""Distances below count as this much where a share is divided by them."""


class Stream(Protocol):
    """One output tensor's inputs, to be run over in chunks as often as a method's statistics need it.

    They are operands: deltas where the method's space is "delta".  They hold until the next are asked for.
    """

    kernels: Kernels
    numel: int
    shape: tuple[int, ...]
    chunk: int
    """Elements of every chunk but the last."""
    streams: tuple[int, ...]
    """One 64-bit number per input, from the seed and the input's digest: keys of random masks."""
    survey: tuple[float, ...]
    """What the method's survey of all tensors found; () where there was none."""

    def chunks(self, *which: int) -> Iterator[tuple[int, tuple[Operand, ...]]]:
        """Yield (index of the chunk's first element, one operand per input), in order.

        Args:
            which: the inputs to read; none means all.

        Every chunk but the last has a multiple of `BLOCK` elements.
        """

    def doubt(self) -> None:
        """Say that an input or the base may not be finite.

        They are all looked through then, if they were not because of `Method.carries`.
        """

    def marks(self, i: int, count: int) -> Array:
        """Return room for a mask of input `i`, for as long as its tensor is worked on; the next one's lies in the same place."""

    def read(self, offset: int, count: int, *which: int) -> tuple[Operand, ...]:
        """Return elements from `offset` on, one operand per input; at most as many as a chunk has."""

    def sample(self, runs: int, length: int, *which: int) -> tuple[int, tuple[Operand, ...]]:
        """Return runs of elements, spread evenly over the tensor: at most one for each, and together no more than a chunk has.

        Returns:
            How many elements after the first of a run the first of the next is, and one operand per input, which holds all runs:
            these alone, one after another, or the whole tensor.

        """


class Kernels(Protocol):
    """What both implementations offer.

    All operands of a call are chunks of the same length n unless said.  "Rounded" means to float32, to nearest,
    ties to even, after every single operation: nothing is fused, reordered or flushed to zero.  What is written is
    rounded once more to the storage type of its place, to nearest even; beyond the range is infinite, and every NaN
    becomes the positive quiet NaN without payload: 7FC0 (BF16), 7E00 (F16), 7FC00000, 7FF8 << 48.  Numbers given as
    Python floats are rounded to float32 first.
    """

    def stored(self, raw: Array, dtype: str) -> Array:
        """See bytes, n * size of them, little-endian, as n numbers of a storage type.

        Args:
            raw: uint8.
            dtype: "F64", "F32", "F16" or "BF16".  Kernels read the last three exactly and round F64 to float32.

        """
        ...

    def not_finite(self, *arrays: Array) -> tuple[Any, ...]:
        """Count in each what is NaN, or infinite as float32: numbers that add up, and need not be known at once."""
        ...

    def trimmed(self, x: Operand, cut: Cut, offset: int) -> Operand:
        """Return x where `cut` keeps it, else +0.0.

        Args:
            x: n elements.
            cut: what `select.largest` found for the whole tensor.
            offset: index in the tensor of the first element of `x`.

        """
        ...

    def dropped(self, x: Operand, cut: Cut, offset: int) -> Operand:
        """Return +0.0 where `cut` keeps x, else x."""
        ...

    def mask(self, stream: int, probability: float, offset: int, count: int, into: Array | None = None) -> Array:
        """Draw a mask: each element is kept with `probability`.

        The draw is a function of (stream, index in the tensor) alone: of a number of 32 bits, which keeps the element where it is
        < floor(probability * 2^32), compared as integers, so that 1.0 keeps all.  Philox4x32-10 (Salmon et al., "Parallel Random
        Numbers: As Easy as 1, 2, 3", 2011) with key (low, high 32 bits of `stream`) gives four words of 32 bits for each counter.
        The first byte of the number of element i, its upper one, is byte i % 16 of the words of counter (low, high 32 bits of
        i // 16, 0, 0), the lowest byte of each word first; the other three are the lower 24 bits of word i % 4 of counter
        (low, high 32 bits of i // 4, 1, 0).

        Args:
            stream: 64 bits; what makes two masks different.
            probability: share that is kept, in [0, 1].
            offset: index in the tensor of the first element, a multiple of 16.
            count: elements.
            into: room for the mask, which is returned; made where there is none.

        """
        ...

    def ranked_mask(self, x: Operand, columns: int, stream: int, limits: Array, offset: int, into: Array | None = None) -> Array:
        """Draw a mask by rank: an element is kept where its number, as `mask` draws it, is below the limit of its rank.

        Magnitudes of a row stand in places 0 to columns - 1, the smallest first.  The rank of an element is the sum of the
        first and the last place of magnitudes equal to its own, 0 to 2 columns - 2: equals rank alike.

        Args:
            x: rows of `columns` elements, one after another.
            columns: 1 or more.
            stream: 64 bits; what makes two masks different.
            limits: uint64 on the host: for each rank, of 2^32 numbers how many keep an element; none less than the one before.
            offset: index in the tensor of the first element.
            into: room for the mask, which is returned; made where there is none.

        """
        ...

    def room(self, count: int) -> Array:
        """Return an array of so many float32 numbers, to be written before they are read."""
        ...

    def marks(self, count: int) -> Array:
        """Return room for a mask, to be written before it is read."""
        ...

    def packed(self, mask: Array) -> Array:
        """Return a mask in a form to keep for a later pass, apart from its room, and to give to `unpacked`."""
        ...

    def unpacked(self, packed: Array, count: int) -> Array:
        """Return the mask of `count` elements that was packed."""
        ...

    def masked(self, x: Operand, mask: Array, factor: float) -> Operand:
        """Return factor * x, rounded, where the mask is set, else +0.0."""
        ...

    def floats(self, x: Operand) -> Array:
        """Return the values of an operand as a float32 array of its own."""
        ...

    def copy(self, x: Operand, out: Place) -> None:
        """Write x."""
        ...

    def weighted_sum(self, inputs: Sequence[Operand], weights: Sequence[float], divisor: float, scale: float, out: Place) -> None:
        """Write scale * ((((w0 * x0) + (w1 * x1)) + ...) / divisor), each product, sum and quotient rounded.

        Args:
            inputs: one or more, summed left to right.
            weights: as many.
            divisor: 1.0 for a sum.
            scale: 1.0 to leave it as it is.
            out: n elements.

        """
        ...

    def products(self, x: Operand, y: Operand, z: Operand | None = None) -> Host:
        """Sum the products x x, x y and y y, or x x, x y, x z, y y, y z and z z, within each block, in float64, by a fixed tree.

        The products of two float32 are exact in float64.  A block of BLOCK elements is 64 rows of LANES elements;
        lane j starts at +0.0 and adds element j of row 0, 1, ... 63 in that order; then lanes fold in half, lane[j] +=
        lane[j + h] for j < h, with h = LANES / 2, ... 2, 1, and lane[0] is the result.  A short last block reads as if
        filled up with +0.0.  So the results of a tensor do not depend on how blocks are grouped into chunks.

        Returns:
            float64 on the host, one row for each started block: shape (ceil(n / BLOCK), 3), or 6.

        """
        ...

    def abs_sums(self, x: Operand, mask: Array) -> Host:
        """Sum |x| within each block, in float64, by the tree of `products`: of all, and of what is in the mask.

        Returns:
            float64 on the host, shape (ceil(n / BLOCK), 2).

        """
        ...

    def total(self, partials: Iterable[float]) -> float:
        """Add block results left to right in float64."""
        ...

    def consensus(
        self, deltas: Sequence[Operand], weights: Sequence[float], normalize: bool, scale: float, out: Place, *, count: bool = False
    ) -> None:
        """Elect a sign per element and add up who agrees (TIES, section 3), every operation rounded.

        p_i = w_i * d_i; s = p_0 + p_1 + ... left to right; the sign is + where s >= 0, else -.  p_i agrees where it is
        strictly on that side; zeros and NaN never are.  mixed = 0 + the p_i that agree, in order; divisor = 0 + the
        w_i of those, in order, and 1 where that is 0.  out = mixed / divisor if `normalize`, else mixed; times `scale`.

        Args:
            deltas: one or more, trimmed.
            weights: as many; may be negative.
            normalize: whether to divide.
            scale: the paper's lambda.
            out: n elements.
            count: let each p_i vote with 1, 0 or -1, by its sign.

        """
        ...

    def near(self, x: Operand, y: Operand, t: float, out: Place) -> None:
        """Write (w y) + ((1 - w) x), where w = t / |x - y| but at most 1, every operation rounded; |x - y| counts as 1e-6 at least."""
        ...

    def magnitudes(self, x: Operand, runs: int, length: int, apart: int) -> Host:
        """Return the magnitude patterns of runs of x as int32 on the host, shape (runs, length).

        The pattern of x is its 32 bits without the sign.  Patterns order as magnitudes do, NaN above infinity.

        Args:
            x: at least apart * (runs - 1) + length elements.
            runs: how many.
            length: elements of each.
            apart: elements from the first of a run to the first of the next.

        """
        ...

    def brackets(self, inputs: Sequence[Operand], ends: Sequence[Sequence[tuple[int, int]]]) -> tuple[tuple[Between, ...], ...]:
        """For each (low, high) of each input: count the patterns above the two and at them, and return those strictly between.

        The highest of all comes with them; 0 where there are none.

        Args:
            inputs: one or more.
            ends: as many sequences, of low <= high.

        """
        ...

    def magnitude_histogram(self, x: Operand, counts: Host) -> None:
        """Add to counts[32768], int64 on the host, how often each high half occurs: bits 30 to 16 of the pattern."""
        ...

    def refine_histogram(self, x: Operand, high_half: int, counts: Host) -> None:
        """Add to counts[65536], int64 on the host, how often each low half occurs under one high half."""
        ...

    def count_equal(self, x: Operand, pattern: int) -> int:
        """Count the elements with this pattern."""
        ...

    def nth_equal(self, x: Operand, pattern: int, n: int) -> int:
        """Return the index in this chunk of the n-th element, from 0, with this pattern; -1 if there are fewer."""
        ...

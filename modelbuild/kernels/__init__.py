"""The tensor arithmetic that methods share, for CPU (numba) and for torch devices, bit for bit the same.

A tensor is seen chunk by chunk.  A chunk of one input is a contiguous 1-D float32 array: a numpy array for the
CPU kernels, a torch tensor for the torch twin.  `load` picks the implementation; `Kernels` is the contract.
Importing this package imports neither numpy nor numba nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelbuild.kernels.select import Between, Cut

Array = Any
"""A contiguous 1-D float32 chunk of n < 2^31 elements, numpy or torch; raw bytes are uint8 of the same kind."""

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
            the torch twin on the CPU, the oracle of the compiled kernels.

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


class Kernels(Protocol):
    """What both implementations offer.

    All arrays of a call are chunks of the same length n unless said.  "Rounded" means to float32, to nearest,
    ties to even, after every single operation: nothing is fused, reordered or flushed to zero.  Elementwise
    functions write `out`, which may be one of the inputs where that is said.  Numbers given as Python floats are
    rounded to float32 first.  A NaN result is a NaN; which one is not defined, but `narrow` makes them all equal.
    """

    def widen(self, raw: Array, dtype: str, out: Array) -> int:
        """Read storage as float32, exactly but for F64, which is rounded.

        Args:
            raw: uint8, n * size bytes, little-endian.
            dtype: "F64", "F32", "F16" or "BF16".
            out: float32, n.

        Returns:
            How many elements of `out` are NaN or infinite.

        """
        ...

    def narrow(self, x: Array, dtype: str, raw: Array) -> int:
        """Write float32 as storage, rounded to nearest even; beyond the range is infinite.

        Every NaN becomes the positive quiet NaN without payload: 7FC0 (BF16), 7E00 (F16), 7FC00000, 7FF8 << 48.

        Args:
            x: float32, n.
            dtype: as in `widen`; F64 is exact.
            raw: uint8, n * size bytes.

        Returns:
            How many of the elements written are NaN or infinite.

        """
        ...

    def subtract(self, x: Array, base: Array, out: Array) -> None:
        """Write x - base, rounded; `out` may be an input."""
        ...

    def add(self, x: Array, y: Array, out: Array) -> None:
        """Write x + y, rounded; `out` may be an input."""
        ...

    def scale(self, x: Array, factor: float, out: Array) -> None:
        """Write factor * x, rounded; `out` may be `x`."""
        ...

    def weighted_sum(self, inputs: Sequence[Array], weights: Sequence[float], divisor: float, out: Array) -> None:
        """Write (((w0 * x0) + (w1 * x1)) + ...) / divisor, each product, sum and quotient rounded.

        Args:
            inputs: one array or more, summed left to right; `out` is none of them.
            weights: as many.
            divisor: 1.0 for a sum; the division is then left out.
            out: float32, n.

        """
        ...

    def mix(self, a: Array, ca: float, b: Array, cb: float, out: Array) -> None:
        """Write (ca * a) + (cb * b), both products and the sum rounded: `weighted_sum` of two."""
        ...

    def dots(self, a: Array, b: Array) -> Host:
        """Sum the products of `a` and `b` within each block, in float64, by a fixed tree.

        The products of two float32 are exact in float64.  A block of BLOCK elements is 64 rows of LANES elements;
        lane j starts at +0.0 and adds element j of row 0, 1, ... 63 in that order; then lanes fold in half, lane[j] +=
        lane[j + h] for j < h, with h = LANES / 2, ... 2, 1, and lane[0] is the result.  A short last block reads as if
        filled up with +0.0.  So the results of a tensor do not depend on how blocks are grouped into chunks.

        Returns:
            float64 on the host, one number per started block: ceil(n / BLOCK).

        """
        ...

    def abs_sums(self, x: Array) -> Host:
        """Sum |x| within each block, in float64, by the tree of `dots`."""
        ...

    def total(self, partials: Iterable[float]) -> float:
        """Add block results left to right in float64."""
        ...

    def consensus(self, deltas: Sequence[Array], weights: Sequence[float], normalize: bool, scale: float, out: Array) -> None:
        """Elect a sign per element and add up who agrees (TIES, section 3), every operation rounded.

        p_i = w_i * d_i; s = p_0 + p_1 + ... left to right; the sign is + where s >= 0, else -.  p_i agrees where it is
        strictly on that side; zeros and NaN never are.  mixed = 0 + the p_i that agree, in order; divisor = 0 + the
        w_i of those, in order, and 1 where that is 0.  out = mixed / divisor if `normalize`, else mixed; times `scale`.

        Args:
            deltas: one array or more, already trimmed; `out` is none of them.
            weights: as many; may be negative.
            normalize: whether to divide.
            scale: the paper's lambda.
            out: float32, n.

        """
        ...

    def trim(self, x: Array, cut: Cut, offset: int, out: Array) -> None:
        """Write x where `cut` keeps it, else +0.0; `out` may be `x`.

        Args:
            x: float32, n.
            cut: what `select.largest` found for the whole tensor.
            offset: index in the tensor of the first element of `x`.
            out: float32, n.

        """
        ...

    def drop(self, x: Array, stream: int, probability: float, offset: int, factor: float, out: Array) -> None:
        """Keep each element with `probability`, times `factor`, else write +0.0; `out` may be `x`.

        The draw is a function of (stream, index in the tensor) alone.  Philox4x32-10 (Salmon et al., "Parallel
        Random Numbers: As Easy as 1, 2, 3", 2011) with key (low, high 32 bits of `stream`) and counter (low, high 32
        bits of index // 4, 0, 0) gives four 32-bit words; element i takes word i % 4 and is kept where that
        word < floor(probability * 2^32), compared as integers, so that 1.0 keeps all.

        Args:
            x: float32, n.
            stream: 64 bits; what makes two masks different.
            probability: share that is kept, in [0, 1].
            offset: index in the tensor of the first element of `x`, a multiple of 4.
            factor: multiplies what is kept, rounded.
            out: float32, n.

        """
        ...

    def magnitudes(self, x: Array, step: int) -> Host:
        """Return the magnitude patterns of x[0], x[step], x[2 * step] ... as int32 on the host.

        The pattern of x is its 32 bits without the sign.  Patterns order as magnitudes do, NaN above infinity.
        """
        ...

    def bracket(self, x: Array, low: int, high: int) -> Between:
        """Count the patterns above, at and between two patterns, low <= high, and return those strictly between."""
        ...

    def magnitude_histogram(self, x: Array, counts: Host) -> None:
        """Add to counts[32768], int64 on the host, how often each high half occurs: bits 30 to 16 of the pattern."""
        ...

    def refine_histogram(self, x: Array, high_half: int, counts: Host) -> None:
        """Add to counts[65536], int64 on the host, how often each low half occurs under one high half."""
        ...

    def count_equal(self, x: Array, pattern: int) -> int:
        """Count the elements with this pattern."""
        ...

    def nth_equal(self, x: Array, pattern: int, n: int) -> int:
        """Return the index in this chunk of the n-th element, from 0, with this pattern; -1 if there are fewer."""
        ...

"""The kernels as torch operations: for CUDA, and on the CPU the oracle of the compiled ones.

Every rounding is an operation of its own: `add(alpha=)`, `addcmul` and `lerp` fuse, `sum` and `dot` reorder, and on CUDA
a division by a host number multiplies by its reciprocal, so divisors are put on the device first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelbuild.kernels import BLOCK, LANES, total
from modelbuild.kernels.select import Between, pattern_of
from modelbuild.kernels.stream import MULTIPLIERS, ROUNDS, WEYL, WORD, counter, key, limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from modelbuild.kernels.select import Cut

STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
QUIET = {"F64": (torch.int64, 0x7FF8 << 48), "F32": (torch.int32, 0x7FC00000), "F16": (torch.int16, 0x7E00), "BF16": (torch.int16, 0x7FC0)}
"""The integer type of a storage type's bits, and its NaN."""


class Torch:
    """See `Kernels` for what each function does."""

    total = staticmethod(total)

    def __init__(self, device: str) -> None:
        """Serve tensors of one device, such as "cuda:0" or "cpu"."""
        self.device = torch.device(device)

    def widen(self, raw: Tensor, dtype: str, out: Tensor) -> int:
        """Read storage as float32."""
        out.copy_(as_stored(raw, dtype))
        return not_finite(out)

    def narrow(self, x: Tensor, dtype: str, raw: Tensor) -> int:
        """Write float32 as storage."""
        stored = as_stored(raw, dtype)
        stored.copy_(x)
        integer, quiet = QUIET[dtype]
        stored.view(integer).masked_fill_(torch.isnan(x), quiet)
        return not_finite(stored)

    def subtract(self, x: Tensor, base: Tensor, out: Tensor) -> None:
        """Write x - base."""
        torch.sub(x, base, out=out)

    def add(self, x: Tensor, y: Tensor, out: Tensor) -> None:
        """Write x + y."""
        torch.add(x, y, out=out)

    def scale(self, x: Tensor, factor: float, out: Tensor) -> None:
        """Write factor * x."""
        torch.mul(x, self.single(factor), out=out)

    def weighted_sum(self, inputs: Sequence[Tensor], weights: Sequence[float], divisor: float, out: Tensor) -> None:
        """Write the weighted sum."""
        torch.mul(inputs[0], self.single(weights[0]), out=out)
        for x, weight in zip(inputs[1:], weights[1:], strict=True):
            out.add_(x * self.single(weight))
        if divisor != 1.0:
            out.div_(self.single(divisor))

    def mix(self, a: Tensor, ca: float, b: Tensor, cb: float, out: Tensor) -> None:
        """Write ca * a + cb * b."""
        self.weighted_sum((a, b), (ca, cb), 1.0, out)

    def dots(self, a: Tensor, b: Tensor) -> NDArray[np.float64]:
        """Sum products by block."""
        return folded(blocks(a) * blocks(b))

    def abs_sums(self, x: Tensor) -> NDArray[np.float64]:
        """Sum magnitudes by block."""
        return folded(blocks(x).abs())

    def consensus(self, deltas: Sequence[Tensor], weights: Sequence[float], normalize: bool, scale: float, out: Tensor) -> None:
        """Elect signs and add up who agrees."""
        positive = self.elected(deltas, weights)
        zero, one = self.single(0.0), self.single(1.0)
        mixed, divisor = torch.zeros_like(out), torch.zeros_like(out)
        for delta, weight in zip(deltas, map(self.single, weights), strict=True):
            product = delta * weight
            agree = torch.where(positive, product > 0, product < 0)
            mixed += torch.where(agree, product, zero)
            divisor += torch.where(agree, weight, zero)
        if normalize:
            mixed /= torch.where(divisor == 0, one, divisor)
        torch.mul(mixed, self.single(scale), out=out)

    def elected(self, deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Tell where the weighted sum elects plus."""
        elected = torch.empty_like(deltas[0])
        self.weighted_sum(deltas, weights, 1.0, elected)
        return elected >= 0

    def trim(self, x: Tensor, cut: Cut, offset: int, out: Tensor) -> None:
        """Zero what the cut drops."""
        pattern, threshold = patterns(x), pattern_of(cut.magnitude)
        equals = min(max(cut.last + 1 - offset, 0), len(x))
        keep = pattern > threshold
        keep[:equals] |= pattern[:equals] == threshold
        torch.where(keep, x, self.single(0.0), out=out)

    def drop(self, x: Tensor, stream: int, probability: float, offset: int, factor: float, out: Tensor) -> None:
        """Zero elements at random."""
        first = counter(offset)
        counters = torch.arange(first, first + -(-len(x) // 4), device=self.device)
        none = torch.zeros_like(counters)
        words = torch.stack(philox((counters & WORD, counters >> 32, none, none), key(stream)), dim=1)  # (n / 4, 4)
        keep = words.reshape(-1)[: len(x)] < limit(probability)
        torch.where(keep, x * self.single(factor), self.single(0.0), out=out)

    def magnitudes(self, x: Tensor, step: int) -> NDArray[np.int32]:
        """Return every step-th pattern."""
        return on_host(patterns(x)[::step])

    def bracket(self, x: Tensor, low: int, high: int) -> Between:
        """Count around a bracket, collect inside."""
        pattern = patterns(x)
        inside = on_host(pattern[(pattern > low) & (pattern < high)])
        return Between(count(pattern > high), count(pattern == high), count(pattern == low), inside)

    def magnitude_histogram(self, x: Tensor, counts: NDArray[np.int64]) -> None:
        """Count high halves."""
        counts += on_host(torch.bincount(patterns(x) >> 16, minlength=len(counts)))

    def refine_histogram(self, x: Tensor, high_half: int, counts: NDArray[np.int64]) -> None:
        """Count low halves under one high half."""
        pattern = patterns(x)
        counts += on_host(torch.bincount(pattern[pattern >> 16 == high_half] & 0xFFFF, minlength=len(counts)))

    def count_equal(self, x: Tensor, pattern: int) -> int:
        """Count one pattern."""
        return count(patterns(x) == pattern)

    def nth_equal(self, x: Tensor, pattern: int, n: int) -> int:
        """Find the n-th of one pattern."""
        places = torch.nonzero(patterns(x) == pattern)
        return int(places[n]) if n < len(places) else -1

    def single(self, value: float) -> Tensor:
        """Put a number, rounded to float32, on the device."""
        return torch.full((), float(np.float32(value)), dtype=torch.float32, device=self.device)


def as_stored(raw: Tensor, dtype: str) -> Tensor:
    """See bytes as a storage type; of no bytes at all torch would refuse the view."""
    return raw.view(STORED[dtype]) if len(raw) else raw.new_empty(0, dtype=STORED[dtype])


def on_host(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor to host memory."""
    return np.array(tensor.cpu().numpy())


def count(mask: Tensor) -> int:
    """Count what is true; integers add up in any order."""
    return int(torch.count_nonzero(mask))


def not_finite(x: Tensor) -> int:
    """Count NaN and infinity."""
    return count(~torch.isfinite(x))


def patterns(x: Tensor) -> Tensor:
    """Return the bits of |x| as int32."""
    return x.view(torch.int32) & 0x7FFFFFFF


def blocks(x: Tensor) -> Tensor:
    """Return blocks of rows of lanes in float64, filled up with +0.0."""
    short = -len(x) % BLOCK
    return torch.nn.functional.pad(x, (0, short)).double().view(-1, BLOCK // LANES, LANES)  # (blocks, rows, lanes)


def folded(terms: Tensor) -> NDArray[np.float64]:
    """Add up each block of terms by the tree of the contract."""
    lanes = torch.zeros_like(terms[:, 0])  # (blocks, lanes)
    for row in terms.unbind(1):
        lanes += row
    while (half := lanes.shape[1] // 2) > 0:
        lanes = lanes[:, :half] + lanes[:, half:]
    return on_host(lanes[:, 0])


def philox(counters: Sequence[Tensor], keys: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return the four words of each counter, as int64 below 2^32.

    A product of two words can pass 2^63; it wraps, and the mask after the shift takes the sign away again.
    """
    c0, c1, c2, c3 = counters
    k0, k1 = keys
    for _ in range(ROUNDS):
        product_0, product_1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c2 = (product_1 >> 32 & WORD) ^ c1 ^ k0, (product_0 >> 32 & WORD) ^ c3 ^ k1
        c1, c3 = product_1 & WORD, product_0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3

"""The kernels as torch operations: for CUDA, and on the CPU the oracle of the compiled ones.

Every rounding is an operation of its own: `add(alpha=)`, `addcmul` and `lerp` fuse, `sum` and `dot` reorder, and on CUDA
a division by a host number multiplies by its reciprocal, so divisors are put on the device first.  Factors need not be: they
are rounded to float32 on the host.  A GPU waits for the host to name its operations, so that few of them are better than short ones.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelbuild.kernels import BLOCK, LANES, NEAREST, total
from modelbuild.kernels.operands import Delta, Dropped, Masked, Plus, Trimmed, length
from modelbuild.kernels.select import Between, pattern_of
from modelbuild.kernels.stream import MULTIPLIERS, REST, ROUNDS, WEYL, WORD, aligned, key, limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from modelbuild.kernels import Operand
    from modelbuild.kernels.select import Cut

STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
BITS = {
    torch.float64: (torch.int64, 0x7FF8 << 48, 0x7FF0 << 48),
    torch.float32: (torch.int32, 0x7FC00000, 0x7F800000),
    torch.float16: (torch.int16, 0x7E00, 0x7C00),
    torch.bfloat16: (torch.int16, 0x7FC0, 0x7F80),
}
"""Of a storage type: the integer type of its bits, its NaN, and its infinity, all of whose bits what is not finite has."""


class Torch:
    """See `Kernels` for what each function does."""

    total = staticmethod(total)

    def __init__(self, device: str) -> None:
        """Serve tensors of one device, such as "cuda:0" or "cpu"."""
        self.device = torch.device(device)

    def stored(self, raw: Tensor, dtype: str) -> Tensor:
        """See bytes as numbers; of no bytes at all torch would refuse the view."""
        return raw.view(STORED[dtype]) if len(raw) else raw.new_empty(0, dtype=STORED[dtype])

    def not_finite(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """Count NaN and infinity."""
        found = []
        for x in arrays:
            values = x.float() if x.dtype == torch.float64 else x
            integer, _, infinite = BITS[values.dtype]
            found.append(torch.count_nonzero(values.view(integer) & infinite == infinite))
        return tuple(found)

    def trimmed(self, x: Operand, cut: Cut, offset: int) -> Operand:
        """Drop what the cut drops."""
        return Trimmed(x, pattern_of(cut.magnitude), min(max(cut.last + 1 - offset, 0), length(x)))

    def dropped(self, x: Operand, cut: Cut, offset: int) -> Operand:
        """Drop what the cut keeps."""
        return Dropped(*self.trimmed(x, cut, offset))

    def mask(self, stream: int, probability: float, offset: int, count: int, into: Tensor | None = None) -> Tensor:
        """Draw a mask."""
        most, firsts = limit(probability), self._firsts(stream, aligned(offset), count)
        kept = firsts < most >> 24
        if most & REST:
            equal = (firsts == most >> 24).nonzero()
            words = self._words(stream, (offset + equal[:, 0]) >> 2, 1).gather(1, equal & 3)
            kept[equal[:, 0]] = (words[:, 0] & REST) < (most & REST)
        return kept if into is None else into.copy_(kept)

    def ranked_mask(
        self, x: Operand, columns: int, stream: int, limits: NDArray[np.uint64], offset: int, into: Tensor | None = None
    ) -> Tensor:
        """Draw a mask by rank."""
        rows = patterns(self.floats(x)).reshape(-1, columns)
        ordered = rows.sort(dim=1).values
        ranks = torch.searchsorted(ordered, rows) + torch.searchsorted(ordered, rows, right=True) - 1
        kept = self.numbers(stream, offset, rows.numel()) < torch.tensor(limits.astype(np.int64), device=self.device)[ranks.reshape(-1)]
        return kept if into is None else into.copy_(kept)

    def numbers(self, stream: int, offset: int, count: int) -> Tensor:
        """Return the numbers that masks of so many elements are drawn by, as int64."""
        words = self._words(stream, torch.arange(offset // 4, -(-(offset + count) // 4), device=self.device), 1)
        return self._firsts(stream, offset, count) << 24 | words.reshape(-1)[offset % 4 :][:count] & REST

    def _firsts(self, stream: int, offset: int, count: int) -> Tensor:
        """Return the first byte of the number of each of so many elements."""
        counters = torch.arange(offset // 16, -(-(offset + count) // 16), device=self.device)
        words = self._words(stream, counters, 0)
        every = torch.stack([words >> shift & 0xFF for shift in (0, 8, 16, 24)], dim=2)  # (counters, words, bytes)
        return every.reshape(-1)[offset % 16 :][:count]

    def _words(self, stream: int, counters: Tensor, third: int) -> Tensor:
        """Return the four words of each counter."""
        words = philox((counters & WORD, counters >> 32, torch.full_like(counters, third), torch.zeros_like(counters)), key(stream))
        return torch.stack(words, dim=1)

    def room(self, count: int) -> Tensor:
        """Allocate."""
        return torch.empty(count, dtype=torch.float32, device=self.device)

    def marks(self, count: int) -> Tensor:
        """Allocate."""
        return torch.empty(count, dtype=torch.bool, device=self.device)

    def packed(self, mask: Tensor) -> Tensor:
        """Copy a mask: its room is used again."""
        return mask.clone()

    def unpacked(self, packed: Tensor, count: int) -> Tensor:
        """Return it as it is."""
        return packed[:count]

    def masked(self, x: Operand, mask: Tensor, factor: float) -> Operand:
        """Drop what is not in the mask."""
        return Masked(x, mask, factor)

    def floats(self, x: Operand) -> Tensor:
        """Compute an operand: one operation for each of its roundings."""
        if isinstance(x, Delta):
            return self.floats(x.x) - self.floats(x.base)
        if isinstance(x, Masked):
            return torch.where(x.mask, self.floats(x.x) * single(x.factor), 0.0)
        if isinstance(x, Trimmed | Dropped):
            values = self.floats(x.x)
            keep = (pattern := patterns(values)) > x.threshold
            if x.equals:
                keep[: x.equals] |= pattern[: x.equals] == x.threshold
            return torch.where(keep, values, 0.0) if isinstance(x, Trimmed) else torch.where(keep, 0.0, values)
        widened: Tensor = x.float()
        return widened

    def copy(self, x: Operand, out: Operand) -> None:
        """Write x, with one NaN for all."""
        values = self.floats(x)
        if isinstance(out, Plus):
            values, out = self.floats(out.base) + values, out.raw
        out.copy_(values)
        integer, quiet, _ = BITS[out.dtype]
        out.view(integer).masked_fill_(torch.isnan(values), quiet)

    def weighted_sum(self, inputs: Sequence[Operand], weights: Sequence[float], divisor: float, scale: float, out: Operand) -> None:
        """Write the weighted sum."""
        total = self.floats(inputs[0]) * single(weights[0])
        for x, weight in zip(inputs[1:], weights[1:], strict=True):
            total += self.floats(x) * single(weight)
        self.copy(total / self._on_device(divisor) * single(scale), out)

    def products(self, x: Operand, y: Operand, z: Operand | None = None) -> NDArray[np.float64]:
        """Sum products by block."""
        values = [blocks(self.floats(one)) for one in (x, y, z) if one is not None]
        return folded(torch.stack([a * b for a, b in combinations_with_replacement(values, 2)], dim=1))

    def abs_sums(self, x: Operand, mask: Tensor) -> NDArray[np.float64]:
        """Sum magnitudes by block."""
        a = blocks(self.floats(x)).abs()
        return folded(torch.stack([a, torch.where(blocks(mask.float()) > 0, a, 0.0)], dim=1))

    def consensus(
        self, deltas: Sequence[Operand], weights: Sequence[float], normalize: bool, scale: float, out: Operand, *, count: bool = False
    ) -> None:
        """Elect signs and add up who agrees."""
        products = [self.floats(delta) * single(weight) for delta, weight in zip(deltas, weights, strict=True)]
        total = torch.zeros_like(products[0])
        for product in products:
            total += torch.sign(product) if count else product
        positive = total >= 0
        mixed, divisor = torch.zeros_like(total), torch.zeros_like(total)
        for product, weight in zip(products, map(self._on_device, weights), strict=True):
            agree = torch.where(positive, product > 0, product < 0)
            mixed += torch.where(agree, product, 0.0)
            divisor += torch.where(agree, weight, 0.0)  # of two numbers of the host the type would be torch's default
        if normalize:
            mixed /= torch.where(divisor == 0, 1.0, divisor)
        self.copy(mixed * single(scale), out)

    def near(self, x: Operand, y: Operand, t: float, out: Operand) -> None:
        """Approach y by about t."""
        a, b, least = self.floats(x), self.floats(y), single(NEAREST)
        apart = (a - b).abs()
        w = self._on_device(t) / torch.where(apart > least, apart, least)
        w = torch.where(w < 1.0, w, 1.0)
        self.copy(w * b + (1.0 - w) * a, out)

    def magnitudes(self, x: Operand, runs: int, length: int, apart: int) -> NDArray[np.int32]:
        """Return patterns."""
        return on_host(patterns(self.floats(x)).as_strided((runs, length), (apart, 1)))

    def brackets(self, inputs: Sequence[Operand], ends: Sequence[Sequence[tuple[int, int]]]) -> tuple[tuple[Between, ...], ...]:
        """Count around brackets, collect inside."""
        return tuple(around(patterns(self.floats(x)), of_one) for x, of_one in zip(inputs, ends, strict=True))

    def magnitude_histogram(self, x: Operand, counts: NDArray[np.int64]) -> None:
        """Count high halves."""
        counts += on_host(torch.bincount(patterns(self.floats(x)) >> 16, minlength=len(counts)))

    def refine_histogram(self, x: Operand, high_half: int, counts: NDArray[np.int64]) -> None:
        """Count low halves under one high half."""
        pattern = patterns(self.floats(x))
        counts += on_host(torch.bincount(pattern[pattern >> 16 == high_half] & 0xFFFF, minlength=len(counts)))

    def count_equal(self, x: Operand, pattern: int) -> int:
        """Count one pattern."""
        return count(patterns(self.floats(x)) == pattern)

    def nth_equal(self, x: Operand, pattern: int, n: int) -> int:
        """Find the n-th of one pattern."""
        places = torch.nonzero(patterns(self.floats(x)) == pattern)
        return int(places[n]) if n < len(places) else -1

    def _on_device(self, value: float) -> Tensor:
        return torch.full((), single(value), dtype=torch.float32, device=self.device)


def single(value: float) -> float:
    """Round a number to float32."""
    return float(np.float32(value))


def on_host(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor to host memory."""
    return np.array(tensor.cpu().numpy())


def count(mask: Tensor) -> int:
    """Count what is true; integers add up in any order."""
    return int(torch.count_nonzero(mask))


def patterns(x: Tensor) -> Tensor:
    """Return the bits of |x| as int32."""
    return x.view(torch.int32) & 0x7FFFFFFF


def around(pattern: Tensor, ends: Sequence[tuple[int, int]]) -> tuple[Between, ...]:
    """Look around the brackets of one input."""
    highest = int(pattern.max()) if ends and len(pattern) else 0
    return tuple(
        Between(
            above=count(pattern > high),
            at_high=count(pattern == high),
            at_low=count(pattern == low),
            inside=on_host(pattern[(pattern > low) & (pattern < high)]),
            highest=highest,
        )
        for low, high in ends
    )


def blocks(x: Tensor) -> Tensor:
    """Return blocks of rows of lanes in float64, filled up with +0.0."""
    short = -len(x) % BLOCK
    return torch.nn.functional.pad(x, (0, short)).double().view(-1, BLOCK // LANES, LANES)  # (blocks, rows, lanes)


def folded(terms: Tensor) -> NDArray[np.float64]:
    """Add up each block of several kinds of terms, (blocks, kinds, rows, lanes), by the tree of the contract: (blocks, kinds)."""
    lanes = torch.zeros_like(terms[:, :, 0])
    for row in terms.unbind(2):
        lanes += row
    while (half := lanes.shape[2] // 2) > 0:
        lanes = lanes[:, :, :half] + lanes[:, :, half:]
    return on_host(lanes[:, :, 0])


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

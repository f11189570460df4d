"""Random numbers as a function of (stream, element index): Philox4x32-10.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.  32-bit words live in 64-bit
integers: that is what the multiplication needs, and it vectorises.

The first byte of an element's number decides for 255 of 256 elements whether it is below a limit, so a counter is drawn for 16
of them; the rest of a number is drawn where it matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels import stream
from modelbuild.kernels.loops.compiled import Scalar, kernel, u8, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]
    U32s = NDArray[np.uint32]

MULTIPLY_0, MULTIPLY_1 = map(u64, stream.MULTIPLIERS)
WEYL_0, WEYL_1 = map(u64, stream.WEYL)
LOW, REST, HALF = u64(stream.WORD), u64(stream.REST), u64(32)
GROUP = 64
"""Bytes that are asked at once whether one of them is the limit's."""
APART = 128
"""Counters between two that are drawn together."""


@kernel
def philox(c0: Scalar, c1: Scalar, c2: Scalar, c3: Scalar, k0: Scalar, k1: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Return the four words of a counter under a key, each in a lower half; what stands in the upper halves is of no meaning."""
    for _ in range(stream.ROUNDS):
        product_0, product_1 = MULTIPLY_0 * (c0 & LOW), MULTIPLY_1 * (c2 & LOW)
        c0, c1, c2, c3 = (product_1 >> HALF) ^ c1 ^ k0, product_1, (product_0 >> HALF) ^ c3 ^ k1, product_0
        k0, k1 = (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW
    return c0, c1, c2, c3


@kernel
def put(counter: Scalar, k0: Scalar, k1: Scalar, words: U32s, at: Scalar) -> None:
    """Write the four words of a counter."""
    w0, w1, w2, w3 = philox(counter & LOW, counter >> HALF, u64(0), u64(0), k0, k1)
    words[at], words[at + u64(1)], words[at + u64(2)], words[at + u64(3)] = w0, w1, w2, w3


@kernel
def draw(first: Scalar, k0: Scalar, k1: Scalar, count: int, words: U32s) -> None:
    """Write the words of so many counters: first, first + 1, ...

    Each round waits for the one before it, so two counters that are far apart are drawn side by side.
    """
    paired = count // (2 * APART) * (2 * APART)
    for start in range(0, paired, 2 * APART):
        for i in range(APART):
            here = u64(start) + u64(i)
            put(first + here, k0, k1, words, here << u64(2))
            put(first + here + u64(APART), k0, k1, words, (here << u64(2)) + u64(4 * APART))
    for i in range(paired, count):
        put(first + u64(i), k0, k1, words, u64(i) << u64(2))


@kernel
def rest(k0: Scalar, k1: Scalar, element: Scalar) -> Scalar:
    """Return the lower 24 bits of an element's number."""
    counter, k = element >> u64(2), element & u64(3)
    w0, w1, w2, w3 = philox(counter & LOW, counter >> HALF, u64(1), u64(0), k0, k1)
    even, odd = (w2 if k > u64(1) else w0), (w3 if k > u64(1) else w1)
    return (odd if k & u64(1) else even) & REST


@kernel
def mask(k0: Scalar, k1: Scalar, limit: Scalar, offset: Scalar, words: U32s, firsts: Bytes, equal: U32s, rests: U32s, kept: Bools) -> None:
    """Tell where the element's number is below the limit.

    Args:
        k0: low word of the key.
        k1: high word of the key.
        limit: up to 2^32.
        offset: index in the tensor of the first element, a multiple of 16.
        words: a tile of room.
        firsts: the same room as bytes.
        equal: room for as many indices, and one more.
        rests: likewise for what belongs to them.
        kept: the mask.

    """
    if limit > LOW:
        for i in range(kept.size):
            kept[i] = True
        return
    first, after = u8(limit >> u64(24)), limit & REST
    for start in range(0, kept.size, firsts.size):
        count, here = min(firsts.size, kept.size - start), offset + u64(start)
        draw(here >> u64(4), k0, k1, (count + 15) // 16, words)
        for i in range(count):
            kept[u64(start) + u64(i)] = firsts[i] < first
        size = places_of(first, firsts, count, equal) if after else u64(0)
        for k in range(size):
            rests[k] = rest(k0, k1, here + u64(equal[k]))
        for k in range(size):
            kept[u64(start) + u64(equal[k])] = u64(rests[k]) < after


@kernel
def places_of(first: Scalar, firsts: Bytes, count: int, equal: U32s) -> Scalar:
    """Write where a byte is, and return how often."""
    size = u64(0)
    for group in range(0, count, GROUP):
        nearest = u8(0xFF)
        for i in range(GROUP):
            apart = u8(firsts[u64(group) + u64(i)] ^ first)
            nearest = apart if apart < nearest else nearest  # noqa: FURB136 - the comparison is what vectorises
        if nearest == u8(0):
            for i in range(group, min(group + GROUP, count)):
                equal[size] = i
                size += u64(firsts[i] == first)
    return size

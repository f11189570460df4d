"""Random numbers as a function of (stream, element index): Philox4x32-10.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.  32-bit words live in 64-bit
integers: that is what the multiplication needs, and it vectorises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.loops.compiled import Scalar, kernel, u32, u64
from modelbuild.kernels.stream import MULTIPLIERS, ROUNDS, WEYL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    U32s = NDArray[np.uint32]

MULTIPLY_0, MULTIPLY_1 = map(u64, MULTIPLIERS)
WEYL_0, WEYL_1 = map(u64, WEYL)
LOW, HALF = u64(0xFFFFFFFF), u64(32)
APART = 128
"""Counters between two that are drawn together."""


@kernel
def philox(c0: Scalar, c1: Scalar, c2: Scalar, c3: Scalar, k0: Scalar, k1: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Return the four words of a counter under a key, each in a lower half; what stands in the upper halves is of no meaning."""
    for _ in range(ROUNDS):
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
def mask(k0: Scalar, k1: Scalar, below: Scalar, first: Scalar, words: U32s, kept: Bools) -> None:
    """Tell where the element's word is below the limit; `words` is a tile of room."""
    tile, last = words.size, u32(below - u64(1))  # a limit may be 2^32, which has no place among 32-bit numbers
    for start in range(0, kept.size, tile):
        count = min(tile, kept.size - start)
        draw(first + u64(start // 4), k0, k1, (count + 3) // 4, words)
        for i in range(count):
            kept[u64(start) + u64(i)] = words[i] <= last
    if below == u64(0):
        for i in range(kept.size):
            kept[i] = False

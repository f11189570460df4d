"""The random stream of a tensor, as numbers both implementations share: see `Kernels.mask`."""

from __future__ import annotations

from math import floor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
"""The constants of Philox4x32-10: Salmon et al. 2011, section 3.3."""

WORD = 0xFFFFFFFF
REST = 0xFFFFFF
"""What of an element's number is not its first byte."""


def key(stream: int) -> tuple[int, int]:
    """Split 64 bits into the low and the high word of a key."""
    return stream & WORD, stream >> 32 & WORD


def limit(probability: float) -> int:
    """Return how many of the 2^32 numbers keep an element."""
    return min(max(floor(probability * 2.0**32), 0), 1 << 32)


def aligned(offset: int) -> int:
    """Return the index of an element whose number starts with the first byte of a counter.

    Raises:
        ValueError: if it does not.

    """
    if offset % 16:
        raise ValueError(f"a chunk starts at element {offset}, not at a multiple of 16")
    return offset

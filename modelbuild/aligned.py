"""Memory that files are read into."""

from __future__ import annotations

import mmap


def aligned(nbytes: int) -> memoryview:
    """Return so many bytes, zeros, the first of which is the first of a page.

    An AMD EPYC of the third generation copies at a quarter of its pace where the destination stands up to 31 bytes further into its
    page than the source: `bytearray` and numpy begin 16 bytes into a page, and the tensors of packs with one.
    """
    return memoryview(mmap.mmap(-1, max(1, nbytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))[:nbytes]

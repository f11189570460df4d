"""Have the host back so much memory of this machine: write to every page of it, once, and end.

    python benchmarks/touching.py BYTES

See `measure.touch` for why.  Nothing but the system's own memset runs, on large pages where there are any: a few tenths of a
second for each gigabyte that is there already.
"""

from __future__ import annotations

import ctypes
import mmap
import sys


def main() -> None:
    """Touch."""
    count = int(sys.argv[1])
    memory = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 1, count)


if __name__ == "__main__":
    main()

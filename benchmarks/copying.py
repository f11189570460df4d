"""The floor: read every byte of some files once, and write so many bytes to a new file.

    python benchmarks/copying.py [--fsync] BYTES OUTPUT INPUT...

One thread and a buffer of 1 MiB that begins with a page, where every processor copies at its best pace; nothing is computed.  Without
--fsync the program ends when the system has the bytes, with it when the disk has them.
"""

from __future__ import annotations

import mmap
import os
import sys

BUFFER = 1 << 20


def main() -> None:
    """Copy."""
    words = [word for word in sys.argv[1:] if word != "--fsync"]
    left, output, inputs = int(words[0]), words[1], words[2:]
    view = memoryview(mmap.mmap(-1, BUFFER, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    for name in inputs:
        source = os.open(name, os.O_RDONLY)
        while count := os.readv(source, [view]):
            if left:
                left -= os.write(out, view[: min(count, left)])
        os.close(source)
    while left:
        left -= os.write(out, view[: min(BUFFER, left)])
    if "--fsync" in sys.argv:
        os.fsync(out)
    os.close(out)


if __name__ == "__main__":
    main()

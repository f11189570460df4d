"""Hash so many bytes, of which 1 MiB is at hand: what digests alone take of a processor.

python benchmarks/hashing.py BYTES
"""

from __future__ import annotations

import sys

from blake3 import blake3

BUFFER = bytes(1 << 20)


def main() -> None:
    """Hash."""
    hasher, count = blake3(), int(sys.argv[1])
    for start in range(0, count, len(BUFFER)):
        hasher.update(BUFFER[: count - start])
    hasher.hexdigest()


if __name__ == "__main__":
    main()

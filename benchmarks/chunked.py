"""Build with chunks of at most so many elements: there is no option for it, as no one size is better for anyone.

    python benchmarks/chunked.py ELEMENTS ARGUMENT...

The arguments are those of `modelbuild`.
"""

from __future__ import annotations

import sys

from modelbuild.cli import main
from modelbuild.engine.devices import Cpu

if __name__ == "__main__":
    Cpu.largest_chunk = int(sys.argv.pop(1))
    main()

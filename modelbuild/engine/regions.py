"""Where a tensor's bytes lie while a build runs, and how they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from modelbuild.aligned import aligned
from modelbuild.digest import tensor_hasher
from modelbuild.engine.readahead import ask
from modelbuild.engine.windows import Part, Window, faults
from modelbuild.errors import Exit, ModelbuildError, Problem

BLOCK = 1 << 20
"""Bytes read at a time where bytes are only hashed or copied."""

SIGHT = 16 << 20
"""Bytes looked at in one go where bytes are only hashed: after each look a thread may wait for its turn in the interpreter."""


Write = Callable[[int, memoryview], None]
"""write(offset in bytes from the tensor's start, bytes)"""


class Region(Protocol):
    """The bytes of one tensor."""

    @property
    def nbytes(self) -> int:
        """How many they are."""

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer` with the bytes from `start` on."""

    def ahead(self, start: int, count: int) -> None:
        """Be told of bytes that are wanted soon, as far as there are so many."""

    def lying(self, window: Window, start: int, count: int) -> memoryview | None:
        """Return bytes where they lie, never to be written, until the window shows others; None where they have to be read."""


class Handles:
    """Files opened for reading, each once, closed together."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._fds: dict[Path, int] = {}
        self._lock = threading.Lock()

    def fd(self, path: Path) -> int:
        """Return the descriptor of the file at `path`."""
        with self._lock:
            if path not in self._fds:
                self._fds[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return self._fds[path]

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            for fd in self._fds.values():
                os.close(fd)
            self._fds.clear()


class FileRegion(Struct, frozen=True):
    """Bytes in a file: a source, a pack, or a pack that is being written."""

    fd: int
    path: Path
    offset: int
    nbytes: int

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer`.

        Raises:
            ModelbuildError: exit 5 if the file ends before the tensor does.

        """
        done = 0
        while done < len(buffer):
            got = os.preadv(self.fd, [buffer[done:]], self.offset + start + done)
            if got == 0:
                raise ModelbuildError(
                    Problem(
                        f"`{self.path}` is shorter than it was",
                        facts=("it was truncated while it was read",),
                        hint="build again when it is complete",
                    ),
                    Exit.SOURCE,
                )
            done += got

    def ahead(self, start: int, count: int) -> None:
        """Have the disk begin with them."""
        ask(self.fd, self.offset + start, min(count, self.nbytes - start))

    def lying(self, window: Window, start: int, count: int) -> memoryview | None:
        """Look at the page cache."""
        return window.over(Part(self.fd, self.offset, self.nbytes), start, count)


class MemoryRegion(Struct, frozen=True):
    """Bytes of an intermediate that is not kept."""

    data: bytearray

    @property
    def nbytes(self) -> int:
        """How many they are."""
        return len(self.data)

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer`."""
        buffer[:] = memoryview(self.data)[start : start + len(buffer)]

    def ahead(self, start: int, count: int) -> None:
        """Do nothing: they are there."""

    def lying(self, window: Window, start: int, count: int) -> memoryview | None:  # noqa: ARG002 - memory needs none
        """Look at the memory itself."""
        return memoryview(self.data)[start : start + count]


def blocks(region: Region, first: int = 0) -> Iterator[tuple[int, memoryview]]:
    """Yield (start, bytes) of a region, from a byte on, in order; each view holds until the next."""
    buffer = aligned(min(BLOCK, region.nbytes))
    for start in range(first, region.nbytes, BLOCK):
        view = buffer[: min(BLOCK, region.nbytes - start)]
        region.read_into(view, start)
        yield start, view


def digest_of(region: Region, dtype: str, shape: tuple[int, ...], window: Window | None = None) -> str:
    """Return the digest of a tensor's bytes, read once.

    Args:
        region: where they are.
        dtype: of the tensor.
        shape: of the tensor.
        window: what they are seen through, where the caller has one: what it shows in the end is there for whoever looks next.

    """
    before = faults()
    digest = _hashed(_seen(region, window or Window(SIGHT)), dtype, shape)
    return digest if faults() == before else _hashed(blocks(region), dtype, shape)


def _hashed(parts: Iterator[tuple[int, memoryview]], dtype: str, shape: tuple[int, ...]) -> str:
    hasher = tensor_hasher(dtype, shape)
    for _, part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def _seen(region: Region, window: Window) -> Iterator[tuple[int, memoryview]]:
    """Yield (start, bytes) of a region where they lie, as far as they can be seen there."""
    step = min(SIGHT, window.nbytes)
    for start in range(0, region.nbytes, step):
        region.ahead(start, step)
        part = region.lying(window, start, min(step, region.nbytes - start))
        if part is None:
            yield from blocks(region, start)
            return
        yield start, part

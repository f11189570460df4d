"""Windows: files read where they lie in the page cache, a stretch at a time.

Copying bytes out of the page cache costs as much as all that a merge does with them.  A window is a range of addresses that
is laid over one part of a file after another, so that memory stays bounded as with a buffer.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from functools import cache
from typing import Any, NamedTuple

from modelbuild.engine.guard import MAP_FIXED, guard

MAP_NORESERVE = 0x4000
FAILED = ctypes.c_void_p(-1).value

LEAST = 1 << 16
"""Fewer bytes than this are copied in less time than they are mapped."""


class Part(NamedTuple):
    """Bytes of an open file."""

    fd: int
    offset: int
    nbytes: int


class Window:
    """Shows parts of files, one after another, to one thread.

    Args:
        nbytes: the most that is laid out at once.

    """

    def __init__(self, nbytes: int) -> None:
        """Take no addresses yet."""
        self.nbytes, self._room = nbytes, None if is_possible() else _NONE
        self.shown = Part(-1, 0, 0)
        """What is laid out."""

    def over(self, whole: Part, start: int, count: int) -> memoryview | None:
        """Return bytes of a file, never to be written, which are these until the next are asked for; None where they are better read.

        Args:
            whole: what they belong to; all of it is laid out where there is room, so that another pass over it costs nothing.  What
                the file loses of it while it is looked at turns into zeros, and `faults` moves, unless less than a page goes.
            start: of the first byte, counted in it.
            count: how many.

        """
        if count < LEAST:
            return None
        self._room = self._room or _Room.of(self.nbytes)
        part = whole if whole.nbytes <= self.nbytes else Part(whole.fd, whole.offset + start, count)
        first = part.offset % mmap.PAGESIZE
        if part != self.shown:
            if os.fstat(part.fd).st_size < part.offset + part.nbytes:  # of less than a page nothing would tell later
                return None
            if not self._room.lay(part.fd, part.offset - first, first + part.nbytes):
                return None
            self.shown = part
        at = first + whole.offset + start - part.offset
        return self._room.bytes[at : at + count]


class _Room:
    """Addresses that are reserved and guarded for as long as anything refers to them."""

    def __init__(self, start: int = 0, size: int = 0, place: int = -1) -> None:
        self._start, self._size, self._libc = start, size, _libc()
        array = (ctypes.c_uint8 * size).from_address(start) if size else (ctypes.c_uint8 * 0)()
        self.bytes = memoryview(array).cast("B")
        if size:
            weakref.finalize(array, _release, start, size, place).atexit = False

    @classmethod
    def of(cls, nbytes: int) -> _Room:
        """Reserve addresses for so many bytes and what precedes them in their page; none where they cannot be had."""
        size = -(-(nbytes + mmap.PAGESIZE) // mmap.PAGESIZE) * mmap.PAGESIZE
        start = _libc().mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if start in (None, FAILED):
            return _NONE
        place = guard().add(start, start + size)
        if place is None:
            _libc().munmap(start, size)
            return _NONE
        return cls(start, size, place)

    def lay(self, fd: int, offset: int, count: int) -> bool:
        """Lay bytes of a file over the first addresses."""
        if count > self._size:
            return False
        laid: int | None = self._libc.mmap(self._start, count, mmap.PROT_READ, mmap.MAP_SHARED | MAP_FIXED, fd, offset)
        return laid == self._start


def _release(start: int, size: int, place: int) -> None:
    _libc().munmap(start, size)
    guard().remove(place)


def faults() -> int:
    """Return how many pages of files turned out to be gone while they were looked at."""
    return guard().faults if is_possible() else 0


@cache
def is_possible() -> bool:
    """Tell whether files are mapped here: on 64-bit Linux, whose signals `guard` knows."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return False
    try:
        guard()
    except OSError:
        return False
    return True


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc


_NONE = _Room()
"""Room for nothing."""

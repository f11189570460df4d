"""Readahead: the disk begins with what will be looked at soon, before anybody waits for it.

Where files are looked at in place, a page that is not in the page cache is read when it is touched, and what is around it: 128 KiB
on most machines.  That leaves a fast disk idle for half of the time.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

_USUAL = 128 << 10
"""Bytes that Linux reads around a page, unless its administrator says otherwise."""

ENOUGH = 1 << 20
"""Where the system reads so many, touching keeps the disk as busy, and asking would break up what is read."""

_ONE = bytearray(1)


def ask(fd: int, start: int, count: int) -> None:
    """Have bytes of a file read, and do not wait for them.

    Does nothing where they are in the page cache, or where the system reads far ahead by itself.
    """
    if sys.platform == "linux" and _own(os.fstat(fd).st_dev) < ENOUGH and not _is_cached(fd, start + count - 1):
        with suppress(OSError):  # of files that know no such thing
            os.posix_fadvise(fd, start, count, os.POSIX_FADV_WILLNEED)


def _is_cached(fd: int, at: int) -> bool:
    """Tell whether a byte can be had at once.  That takes 2 us; to advise on what is cached takes 13 for each megabyte."""
    try:
        os.preadv(fd, [_ONE], at, os.RWF_NOWAIT)
    except OSError:  # it would have to be waited for, or the file system cannot tell
        return False
    return True


@cache
def _own(device: int) -> int:
    """Return the bytes that the system reads ahead of what is touched on a device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    disk = Path("/sys/dev/block", number).resolve()  # of a partition it is the parent that has a queue
    for place in (disk / "queue", disk.parent / "queue", Path("/sys/class/bdi", number)):
        with suppress(OSError, ValueError):
            return int((place / "read_ahead_kb").read_text()) << 10
    return _USUAL

"""The stat table: digests of source tensors, remembered for as long as their files have not been touched."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3
from msgspec import Struct

from modelbuild.cache.index import Index
from modelbuild.cache.layout import Json, is_digest

RACY_NS = 2_000_000_000
"""A file changed less than this before it was looked at may change again without its times moving (git's racy rule)."""


class Stat(Struct, frozen=True, eq=False):
    """What tells one state of a file from another; times in nanoseconds.

    `racy` says that the file was younger than 2 s when this was taken; it takes no part in comparison.
    """

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int
    racy: bool

    def numbers(self) -> list[Json]:
        """Return what is stored of it."""
        return [self.device, self.inode, self.size, self.mtime, self.ctime]

    def __eq__(self, other: object) -> bool:
        """Tell whether another is of the same state of the same file."""
        return isinstance(other, Stat) and self.numbers() == other.numbers()

    def __ne__(self, other: object) -> bool:
        """Tell the opposite: what Python would make of `==`, a struct has of its own, by identity."""
        return not self == other

    def __hash__(self) -> int:
        return hash((self.inode, self.mtime))


def stat_tuple(file: Path | int) -> Stat:
    """Take the stat tuple of a path, links followed, or of an open descriptor: before reading what it is to stand for."""
    status = os.stat(file)  # noqa: PTH116 - Path has no stat of a descriptor
    now = time.time_ns()
    # A change to come sets both times to now, so a time far in the future hides none; only mtime can be set at will.
    racy = now - status.st_ctime_ns < RACY_NS or abs(now - status.st_mtime_ns) < RACY_NS
    return Stat(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, racy)


class StatTable:
    """Digests by tensor name for each source file, under its real path and stat tuple."""

    def __init__(self, index: Index) -> None:
        """Keep the table in `index`, under `s:`."""
        self._index = index

    def remembered(self, path: Path, taken: Stat | None = None) -> dict[str, str] | None:
        """Return the digests known of a file's tensors, or None where none are or the file has changed since.

        Args:
            path: the file.
            taken: its stat tuple where the caller has one, of an open descriptor say; else it is taken here.

        Raises:
            OSError: if the file cannot be looked at.

        """
        now = taken or stat_tuple(path)
        match self._index.get(_key(path)):
            case {"stat": stat, "digests": dict(digests)} if stat == now.numbers():
                return {name: digest for name, digest in digests.items() if isinstance(digest, str) and is_digest(digest)}
        return None

    def last(self, path: Path) -> dict[str, str]:
        """Return the digests that a file's tensors had when it was last remembered, whatever has become of it since."""
        match self._index.get(_key(path)):
            case {"digests": dict(digests)}:
                return {name: digest for name, digest in digests.items() if isinstance(digest, str)}
        return {}

    def remember(self, path: Path, taken: Stat, digests: Mapping[str, str]) -> bool:
        """Add digests to what is known of a file.

        Args:
            path: the file.
            taken: its stat tuple from before the bytes were read.
            digests: by tensor name; a file may be learned in parts.

        Returns:
            False, with nothing stored, where the file changed or went while it was read, or was younger than 2 s: look again.

        """
        try:
            if taken.racy or stat_tuple(path) != taken:
                return False
        except FileNotFoundError:
            return False
        known = self.remembered(path, taken) or {}
        known.update(digests)
        self._index.put_many({_key(path): {"stat": taken.numbers(), "digests": known}})
        return True


def _key(path: Path) -> str:
    # Hashed, for a path can be long and need not be Unicode.
    return "s:" + blake3(os.fsencode(os.path.realpath(path))).hexdigest()

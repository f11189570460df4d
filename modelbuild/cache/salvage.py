"""Salvage: tensors that a build had finished when it was killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from modelbuild import files
from modelbuild.cache.layout import STAGING, parse_json
from modelbuild.cache.packs import Location
from modelbuild.cache.sidecar import TensorEntry, parse_tensor
from modelbuild.cache.staging import JOURNAL, LOCK, running_system

FORGOTTEN_SECONDS = 7 * 24 * 3600.0
"""Where there are no locks to ask, a build that started this long ago is dead; and what it had finished is kept no longer."""


class Salvaged(Struct, frozen=True):
    """A tensor of a build that died, and where its bytes are said to stand.  They may not be there: whoever reads verifies."""

    entry: TensorEntry
    location: Location


class Salvage:
    """What dead builds left, held so that no other build takes it until it is dropped or released."""

    def __init__(self, cache_directory: Path) -> None:
        """Lock the staging directories of builds that have died, and read their journals."""
        self._held = tuple(abandoned(cache_directory))
        self._finished = {directory: tuple(_finished(directory)) for directory, _ in self._held}
        self.tensors = tuple(tensor for tensors in self._finished.values() for tensor in tensors)

    def drop(self, is_needless: Callable[[TensorEntry], bool]) -> None:
        """Remove the directories, as far as they can be, that hold nothing a build could want any more.

        Args:
            is_needless: tells whether a tensor need not stand there.  A directory with one that has to is left to a build of what
                it was begun for, unless it has waited for a week.

        """
        for directory, tensors in self._finished.items():
            with contextlib.suppress(OSError):
                needless = all(is_needless(tensor.entry) for tensor in tensors if tensor.entry.key)
                if needless or time.time() - directory.stat().st_mtime > FORGOTTEN_SECONDS:
                    files.remove_tree(directory)
        self.release()

    def release(self) -> None:
        """Leave the directories for the next build."""
        for _, lock in self._held:
            lock.release()
        self._held = ()


def left_over(cache_directory: Path) -> tuple[int, int]:
    """Return how many finished tensors stand in staging directories, and their bytes: at most so many a build may use; locks nothing."""
    staging = cache_directory / STAGING
    with contextlib.suppress(OSError):
        found = (tensor.entry for directory in sorted(staging.iterdir()) for tensor in _finished(directory))
        sizes = {entry.key: entry.nbytes for entry in found if entry.key}
        return len(sizes), sum(sizes.values())
    return 0, 0


def abandoned(cache_directory: Path) -> Iterator[tuple[Path, files.Lock]]:
    """Yield the staging directories whose build has died, each locked."""
    staging = cache_directory / STAGING
    for directory in sorted(staging.iterdir()) if staging.is_dir() else ():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            # A directory without a lock is being made or being removed, unless it has been so for long.
            forgotten = time.time() - directory.stat().st_mtime > files.UNFINISHED_SECONDS
            lock = files.try_lock(directory / LOCK, create=forgotten)
            if lock is None:
                continue
            if _is_dead(directory, excludes=lock.excludes):
                yield directory, lock
            else:
                lock.release()


def _is_dead(directory: Path, *, excludes: bool) -> bool:
    """Tell whether nobody writes in a directory any more whose lock was to be had.

    Another machine, whose locks may not reach this one, is believed dead when it has written nothing for an hour; so is this
    one before it was started again.
    """
    if not excludes:
        return time.time() - (directory / LOCK).stat().st_mtime > FORGOTTEN_SECONDS
    if directory.name.endswith(f"-{running_system()}"):
        return True
    return time.time() - max(path.lstat().st_mtime for path in directory.iterdir()) > files.UNFINISHED_SECONDS


def _finished(directory: Path) -> Iterator[Salvaged]:
    """Read what the journals name that can still be there; a line that a kill cut short is none."""
    for journal in sorted(directory.glob(f"*{JOURNAL}")):
        pack = journal.with_name(journal.name.removesuffix(JOURNAL))
        if not pack.is_file() or pack.is_symlink():
            continue
        size = pack.stat().st_size
        for line in journal.read_bytes().split(b"\n")[:-1]:
            tensor = parse_tensor(parse_json(line))
            if tensor is not None:
                entry, offset = tensor
                if offset + entry.nbytes <= size:
                    yield Salvaged(entry, Location(pack, offset, entry.nbytes, entry.dtype, entry.shape))

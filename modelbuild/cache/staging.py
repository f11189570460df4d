"""Staging: where a build writes its packs before the cache takes them in."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path

from blake3 import blake3

from modelbuild import files
from modelbuild.cache.layout import STAGING, prepare, write_json
from modelbuild.cache.sidecar import TensorEntry, tensor_json

LOCK = "lock"
JOURNAL = ".journal"
WRITTEN_BEHIND = 1 << 20
"""Bytes from which on what is written is on its way to disk at once, so that a finished pack has little to wait for."""


class StagedPack:
    """A pack being written: its header is, its data section has its final size, and its tensors come in any order.

    Threads may write at once.  Beside it stands a journal, a line for each finished tensor, from which the tensors of a build
    that was killed are found again.
    """

    def __init__(self, path: Path, header: bytes, data_bytes: int) -> None:
        """Create the file at `path`: `header`, padded and complete, then room for `data_bytes` bytes."""
        self.path = path
        self.data_start = len(header)
        self._journal_path = path.with_name(path.name + JOURNAL)
        self._journal = -1
        self._synced = False
        self._fd = files.open_new(path)
        try:
            files.allocate(self._fd, path, len(header) + data_bytes)
            files.write_at(self._fd, path, header, 0)
            self._journal = files.open_append(self._journal_path)
        except BaseException:
            self.discard()
            raise

    def write(self, offset: int, data: files.Buffer) -> None:
        """Write bytes, `offset` counted from the start of the data section."""
        self._synced = False
        files.write_at(self._fd, self.path, data, self.data_start + offset)
        if len(data) >= WRITTEN_BEHIND:
            files.begin_sync(self._fd, self.data_start + offset, len(data))

    def finished(self, entry: TensorEntry, offset: int) -> None:
        """Note that a tensor is written whole at `offset` in the data section; not synced, for readers verify."""
        line = write_json(tensor_json(entry, self.data_start + offset))
        files.append_line(self._journal, self._journal_path, line.encode())

    def sync(self) -> None:
        """Wait until the bytes are on disk."""
        if not self._synced:
            files.sync(self._fd, self.path)
            self._synced = True

    def seal(self) -> Path:
        """Wait until the bytes are on disk, close the file and return its path, for the cache to take in."""
        self.sync()
        self.close()
        return self.path

    def close(self) -> None:
        """Close the file as it is.  A second call does nothing."""
        for fd in (self._fd, self._journal):
            if fd >= 0:
                os.close(fd)
        self._fd = self._journal = -1

    def discard(self) -> None:
        """Close the file and remove it; its descriptors that others have stay good."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            files.unlink(self.path)


@cache
def running_system() -> str:
    """Return eight hexadecimal digits for this start of this machine: locks tell the dead from the living under one system alone."""
    try:
        return blake3(Path("/proc/sys/kernel/random/boot_id").read_bytes()).hexdigest(4)
    except OSError:
        return "0" * 8


class Staging:
    """A directory of one running build, locked for as long as the build lives."""

    def __init__(self, cache_directory: Path) -> None:
        """Make the directory and lock it."""
        prepare(cache_directory)
        lock = None
        while lock is None:
            self.path = cache_directory / STAGING / f"{files.random_name()}-{running_system()}"
            files.make_directory(self.path)
            # A cleaner may take the new directory for a dead one until it is locked; then there is another name.
            lock = files.try_lock(self.path / LOCK)
        self._lock = lock

    def open_pack(self, name: str, header: bytes, data_bytes: int) -> StagedPack:
        """Start a pack.

        Args:
            name: of its file here, one path component; the cache names packs by content.
            header: the safetensors header with its length before it and its padding after.
            data_bytes: size of the data section.

        """
        if name in {"", ".", "..", LOCK} or "/" in name or name.endswith(JOURNAL):
            raise ValueError(f"`{name}` cannot name a staged pack")
        return StagedPack(self.path / name, header, data_bytes)

    def close(self, *, keep: bool = False) -> None:
        """Let go of the directory, and remove it unless the next build is to salvage what is finished, or it cannot be removed."""
        if not keep:
            with contextlib.suppress(OSError):
                files.remove_tree(self.path)
        self._lock.release()

"""One pack while it fills up: where its tensors go, and which are there."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from modelbuild.cache import StagedPack, TensorEntry
from modelbuild.checkpoint.dtypes import nbytes
from modelbuild.checkpoint.header import Layout
from modelbuild.digest import tensor_hasher
from modelbuild.engine.desk import Desk
from modelbuild.engine.regions import FileRegion, Region, Write, blocks
from modelbuild.errors import Exit, ModelbuildError, Problem


class Shelf:
    """One pack being filled.  Its file is made when the first tensor comes; threads may fill it at once."""

    def __init__(self, name: str, layout: Layout, desk: Desk) -> None:
        """Lay out a pack; `name` is its file's name while it is staged."""
        self._name, self._desk, self.layout = name, desk, layout
        self._places = {tensor[0]: (tensor, offset) for tensor, offset in zip(layout.tensors, layout.offsets, strict=True)}
        self._entries: dict[str, TensorEntry] = {}
        self._lock = threading.Lock()
        self._pack: StagedPack | None = None
        self._fd = -1
        self.next: Shelf | None = None
        """The one that is filled after this one."""
        self.sealed = False

    @property
    def filled(self) -> Mapping[str, TensorEntry]:
        """The tensors that are written."""
        return self._entries

    def opened(self) -> StagedPack:
        """Return the pack.  While another thread makes it, which takes as long as its blocks take to be reserved, make the next."""
        if self._pack is None and self.next and self._lock.locked():
            with contextlib.suppress(ModelbuildError, OSError):  # whoever needs it tries again, and says why not
                self.next.opened()
        with self._lock:
            if self._pack is None:
                pack = self._desk.open(self._name, self.layout)
                try:
                    self._fd = os.open(pack.path, os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    pack.discard()
                    raise
                self._pack = pack
            return self._pack

    def room(self, name: str) -> tuple[Region, Write]:
        """Return where a tensor is to be written, and how."""
        pack = self.opened()
        (_, dtype, shape), offset = self._places[name]
        start = offset - len(self.layout.header)

        def write(at: int, data: memoryview) -> None:
            pack.write(start + at, data)

        return FileRegion(self._fd, pack.path, offset, nbytes(dtype, shape)), write

    def finished(self, name: str, key: str, digest: str) -> bool:
        """Note that a tensor is written whole, and tell whether it was the last."""
        (_, dtype, shape), offset = self._places[name]
        entry = TensorEntry(name, dtype, shape, digest, key)
        self.opened().finished(entry, offset - len(self.layout.header))
        with self._lock:
            self._entries[name] = entry
            return len(self._entries) == len(self.layout.tensors)

    def copy(self, name: str, key: str, digest: str, region: Region) -> bool:
        """Copy a tensor from elsewhere, and tell whether it was the last.

        Raises:
            ModelbuildError: exit 5 if they are no longer what they were.

        """
        (_, dtype, shape), _ = self._places[name]
        _, write = self.room(name)
        hasher = tensor_hasher(dtype, shape)
        for start, view in blocks(region):
            hasher.update(view)
            write(start, view)
        if hasher.hexdigest() != digest:
            raise ModelbuildError(
                Problem(f"`{name}` changed while it was copied", hint="build again when nothing writes to its file"), Exit.SOURCE
            )
        return self.finished(name, key, digest)

    def entries(self) -> tuple[TensorEntry, ...]:
        """Return the tensors of a full shelf in the order of the bytes."""
        return tuple(self._entries[name] for name, _, _ in self.layout.tensors)

    @property
    def path(self) -> Path:
        """The file, while it is staged."""
        return self.opened().path

    def sync(self) -> None:
        """Bring what was written to disk."""
        self.opened().sync()

    def seal(self) -> Path:
        """Bring a full shelf to disk and return its file."""
        sealed = self.opened().seal()
        self.sealed = True
        return sealed

    def drop(self) -> None:
        """Remove what was written, if anything was; bytes that are still read stay readable."""
        if self._pack:
            self._pack.discard()

    def close(self) -> None:
        """Close files."""
        if self._pack:
            self._pack.close()
            os.close(self._fd)

"""Packs: immutable safetensors files named by content, and where in them each tensor stands."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from blake3 import blake3
from msgspec import Struct
from msgspec.structs import replace

from modelbuild import files
from modelbuild.aligned import aligned
from modelbuild.cache import records
from modelbuild.cache.index import Index
from modelbuild.cache.layout import PACKS, Json, is_digest, prepare
from modelbuild.cache.sidecar import PACK_FORMAT, Sidecar, TensorEntry, pack_id, read_sidecar
from modelbuild.cache.stattable import Stat, stat_tuple
from modelbuild.checkpoint.dtypes import nbytes
from modelbuild.digest import tensor_hasher

READ_CHUNK = 4 << 20

_INDEXED = "packs"  # the format of the packs that the index knows; missing: read the sidecars
_WHERE = "d:"  # digest: pack, offset, size of the pack's file
_SEEN = "p:"  # pack: stat tuple when its bytes were last known to be right
_USED = "u:"  # pack: seconds since 1970 of its last use


class Location(Struct, frozen=True):
    """Where a tensor's bytes are said to stand: `nbytes` of them from `offset` in the file.  Whoever reads verifies."""

    path: Path
    offset: int
    nbytes: int
    dtype: str
    shape: tuple[int, ...]


class Packs:
    """The packs of a cache directory.  What the index says of them is memory; the files beside them are the truth."""

    def __init__(self, cache_directory: Path, index: Index) -> None:
        """Read and write `packs/` in the cache directory; nothing is touched before it is used."""
        self._cache_directory = cache_directory
        self._directory = cache_directory / PACKS
        self._index = index
        self._indexed = -1

    def path(self, pack: str) -> Path:
        """Return where a pack stands, if it is there.

        Raises:
            ValueError: if `pack` is not an id.

        """
        return self._directory / f"{_checked(pack)}.safetensors"

    def sidecar(self, pack: str) -> Sidecar | None:
        """Return a pack's contents as the file beside it tells them, or None where there is none that makes sense."""
        return read_sidecar(self._sidecar_path(pack))

    def has(self, pack: str) -> Path | None:
        """Return a pack's path if it is there; its bytes are not looked at."""
        path = self.path(pack)
        return None if _size(path) is None else path

    def ids(self) -> tuple[str, ...]:
        """Return the packs that are there, sorted."""
        return tuple(sorted(path.stem for path in self._paths(".safetensors") if is_digest(path.stem)))

    def locate(self, digest: str, dtype: str, shape: tuple[int, ...]) -> Location | None:
        """Return where the tensor of this digest stands, or None where no pack of the right size holds it."""
        self.ensure_indexed()
        length = nbytes(dtype, shape)
        match self._index.get(_WHERE + digest):
            case [str(pack), int(offset), int(size)] if is_digest(pack) and 0 <= offset <= size - length:
                path = self.path(pack)
                if _size(path) == size:
                    return Location(path, offset, length, dtype, shape)
        return None

    def said_to_hold(self, digest: str) -> str:
        """Return the pack that held a tensor when the index last heard of it, whether or not it is there; "" where it never did."""
        match self._index.get(_WHERE + digest):
            case [str(pack), *_] if is_digest(pack):
                return pack
        return ""

    def add(self, staged: Path, entries: Sequence[TensorEntry], offsets: Sequence[int], data_start: int) -> str:
        """Take a written and synced safetensors file into the cache; `staged` is gone afterwards.

        One that is there already and untouched stays, and the staged file is dropped.  The file beside it is written first, so
        a pack that can be seen can be understood; the index learns of both last.

        Args:
            staged: the file, on the file system of the cache.
            entries: its tensors, in order.
            offsets: where each starts, in bytes from `data_start`.
            data_start: where the data section starts in the file.

        Returns:
            The pack's id.

        """
        self.ensure_indexed(create=True)
        pack = pack_id(entries)
        status = staged.stat()
        tensors = tuple((entry, data_start + offset) for entry, offset in zip(entries, offsets, strict=True))
        contents = Sidecar(status.st_size, data_start, _header_digest(staged, data_start), tensors)
        prepare(self._cache_directory)
        files.make_directory(self._directory)
        files.replace_file(self._sidecar_path(pack), contents.data())
        if self.is_unmoved(pack):
            files.unlink(staged)
        else:
            files.set_mode(staged, stat.S_IMODE(status.st_mode) & 0o444)
            files.rename(staged, self.path(pack))
        files.sync_directory(self._directory)
        pairs = _rows(pack, contents)
        pairs[_USED + pack] = time.time()
        now = self._stat(pack)
        if now is not None:
            pairs[_SEEN + pack] = now.numbers()
        self._index.put_many(pairs)
        return pack

    def trusted(self, pack: str) -> bool:
        """Tell whether a pack's bytes are those of its name.

        At the price of one stat where the file is as it was left.  One that was touched, or that this index has not seen, is
        hashed once: if it is right it is known again, else it is removed.
        """
        return self.is_unmoved(pack) or self.recheck(pack)

    def recheck(self, pack: str) -> bool:
        """Hash a pack, and know it again where it is right, remove it where it is not.

        An output may have the same file: before it is removed it is touched, so that the output is looked at again.
        """
        before = self._stat(pack)
        if before is None:
            return False
        if self.is_intact(pack) and self._stat(pack) == before:
            self._index.put_many({_SEEN + pack: before.numbers()})
            return True
        with contextlib.suppress(OSError):
            files.touch(self.path(pack))
        self.discard(pack)
        return False

    def is_intact(self, pack: str) -> bool:
        """Read a whole pack and compare header and tensors with the file beside it, and that with the pack's name."""
        contents, path = self.sidecar(pack), self.path(pack)
        if contents is None or contents.size != _size(path) or pack_id(entry for entry, _ in contents.tensors) != pack:
            return False
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            buffer = aligned(READ_CHUNK)
            if _digest_range(fd, 0, contents.data_start, blake3(), buffer) != contents.header:
                return False
            return all(
                _digest_range(fd, offset, entry.nbytes, tensor_hasher(entry.dtype, entry.shape), buffer) == entry.digest
                for entry, offset in contents.tensors
            )
        finally:
            os.close(fd)

    def refresh(self, pack: str) -> None:
        """Take a pack's stat tuple again, right after a link or unlink of our own moved its ctime."""
        now = self._stat(pack)
        if now is not None:
            self._index.put_many({_SEEN + pack: now.numbers()})

    def touch(self, packs: Iterable[str]) -> None:
        """Note that packs are used now, in one transaction."""
        now = time.time()
        self._index.put_many({_USED + _checked(pack): now for pack in packs})

    def discard(self, pack: str) -> frozenset[str]:
        """Remove a pack and return the digests of its tensors; their records stay."""
        contents = self.sidecar(pack)
        for path in (self.path(pack), self._sidecar_path(pack)):
            with contextlib.suppress(FileNotFoundError):
                files.unlink(path)
        digests = frozenset(entry.digest for entry, _ in contents.tensors) if contents else frozenset()
        held = self._index.get_many(_WHERE + digest for digest in sorted(digests))
        gone = tuple(key for key, where in held.items() if isinstance(where, list) and where[:1] == [pack])
        self._index.delete((*gone, _SEEN + pack, _USED + pack))
        return digests

    def find_again(self, digests: Collection[str]) -> None:
        """Tell the index which packs hold these tensors, after the one that it knew of was removed."""
        rows: dict[str, Json] = {}
        for pack, contents in self._contents().items():
            held = tuple(tensor for tensor in contents.tensors if tensor[0].digest in digests)
            rows.update(_rows(pack, replace(contents, tensors=held)))
        self._index.put_many(rows)

    def last_used(self) -> dict[str, float]:
        """Return when each pack was last used, in seconds since 1970; its file's ctime where nobody noted it."""
        noted = self._index.scan(_USED)
        used: dict[str, float] = {}
        for pack in self.ids():
            when, now = noted.get(_USED + pack), self._stat(pack)
            if now is not None:
                used[pack] = float(when) if isinstance(when, int | float) else now.ctime / 1e9
        return used

    def total_size(self) -> int:
        """Return the bytes that the packs occupy on disk, whether or not outputs share them."""
        return sum(map(self.physical_size, self.ids()))

    def physical_size(self, pack: str) -> int:
        """Return the bytes that one pack occupies on disk, 0 where it is gone."""
        try:
            return self.path(pack).lstat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def rebuild_index(self) -> int:
        """Tell the index again what the files beside the packs say, and return how many packs that was.

        Their bytes count as unseen: `trusted` hashes each once.
        """
        self._indexed = self._index.generation
        found = self._contents()
        pairs: dict[str, Json] = {_INDEXED: PACK_FORMAT}
        for pack, contents in found.items():
            pairs.update(_rows(pack, contents))
        self._index.put_many(pairs)
        return len(found)

    def _contents(self) -> dict[str, Sidecar]:
        """Return the contents of every pack of the right size."""
        read = {pack: self.sidecar(pack) for pack in self.ids()}
        return {pack: contents for pack, contents in read.items() if contents and contents.size == _size(self.path(pack))}

    def ensure_indexed(self, *, create: bool = False) -> None:
        """Rebuild an index that was lost; one that has nothing to tell is not made by a look, only by `create`."""
        if self._indexed == self._index.generation:
            return
        if self._index.get(_INDEXED) == PACK_FORMAT:
            self._indexed = self._index.generation
        elif create or self.ids():
            self.rebuild_index()

    def is_unmoved(self, pack: str) -> bool:
        """Tell whether a pack's stat tuple is what it was when its bytes were last known to be right."""
        now = self._stat(pack)
        return now is not None and self._index.get(_SEEN + pack) == now.numbers()

    def _stat(self, pack: str) -> Stat | None:
        path = self.path(pack)
        with contextlib.suppress(FileNotFoundError):
            return None if _size(path) is None else stat_tuple(path)
        return None

    def _sidecar_path(self, pack: str) -> Path:
        return self._directory / f"{_checked(pack)}.json"

    def _paths(self, suffix: str) -> tuple[Path, ...]:
        return tuple(path for path in self._directory.iterdir() if path.suffix == suffix) if self._directory.is_dir() else ()


def _rows(pack: str, contents: Sidecar) -> dict[str, Json]:
    """Return what the index knows of a pack's contents: where its tensors are, and their records."""
    rows = records.pairs(records.Record(entry.key, entry.digest) for entry, _ in contents.tensors if entry.key)
    for entry, offset in contents.tensors:
        rows[_WHERE + entry.digest] = [pack, offset, contents.size]
    return rows


def _digest_range(fd: int, offset: int, length: int, hasher: blake3, buffer: memoryview) -> str:
    """Digest bytes of a file; where it ends early, those that are left."""
    end = offset + length
    while offset < end and (count := os.preadv(fd, [buffer[: end - offset]], offset)):
        hasher.update(buffer[:count])
        offset += count
    return hasher.hexdigest()


def _header_digest(path: Path, data_start: int) -> str:
    with path.open("rb") as file:
        return blake3(file.read(data_start)).hexdigest()


def _checked(pack: str) -> str:
    if not is_digest(pack):
        raise ValueError(f"`{pack}` is not the id of a pack")
    return pack


def _size(path: Path) -> int | None:
    """Return the size of a regular file, or None where there is none at the name itself."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None

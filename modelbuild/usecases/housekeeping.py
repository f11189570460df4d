"""What the cache holds, and how it is kept small and sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli
from msgspec import Struct

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.cache.builds import count_of
from modelbuild.cache.layout import CONVERTED, INDEX, PACKS, STAGING, STAMPS, TAG
from modelbuild.cache.outputs import OutputTable
from modelbuild.cache.salvage import abandoned
from modelbuild.cache.upkeep import Collected, Verified
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import parse_size
from modelbuild.usecases import stamp
from modelbuild.usecases.cleaning import outputs_of
from modelbuild.usecases.project import default_max_size
from modelbuild.usecases.where import Where, cache_setting, modelfile_at

_TAG_LENGTH = TAG.index("cache")
"""Bytes of the tag up to the name of the program, which other programs' caches do not share."""


class KeptPack(Struct, frozen=True):
    """One pack of the cache.

    Args:
        pack: its id.
        nbytes: what it occupies on disk, whether or not outputs share it.
        last_used: seconds since 1970.
        tensors: how many it holds; 0 where the file beside it makes no sense.
        outputs: the output directories of this project's Modelfile that are made of it; none where the Modelfile is broken.

    """

    pack: str
    nbytes: int
    last_used: float
    tensors: int
    outputs: tuple[str, ...]


class CacheListing(Struct, frozen=True):
    """The packs of a cache, most recently used first."""

    directory: str
    packs: tuple[KeptPack, ...]


class CacheSize(Struct, frozen=True):
    """How large a cache is.

    Args:
        directory: where it is.
        packs: how many packs it holds.
        pack_bytes: what they occupy on disk.
        other_bytes: what the rest occupies: index, stamps, the files of builds that run or were killed.
        limit: what packs may occupy, 0 where no build has set it yet.
        builds: how many the log of all its projects has: see `modelbuild.usecases.log`.
        measured: whether it knows results of checks.

    """

    directory: str
    packs: int
    pack_bytes: int
    other_bytes: int
    limit: int
    builds: int = 0
    measured: bool = False


def cache_ls(where: Where) -> CacheListing:
    """See `modelbuild.usecases.cache_ls`."""
    cache = _cache(where)
    used = cache.packs.last_used()
    made_of = _outputs_by_pack(where, cache) if used else {}
    packs = []
    for pack in sorted(used, key=lambda pack: (-used[pack], pack)):
        contents = cache.packs.sidecar(pack)
        tensors = len(contents.tensors) if contents else 0
        packs.append(KeptPack(pack, cache.packs.physical_size(pack), used[pack], tensors, tuple(made_of.get(pack, ()))))
    cache.close()
    return CacheListing(str(cache.directory), tuple(packs))


def cache_size(where: Where) -> CacheSize:
    """See `modelbuild.usecases.cache_size`."""
    cache = _cache(where)
    stored = cache.index.get("max_size")
    limit = _max_size(where) or (stored if isinstance(stored, int) else 0)
    packs = cache.packs.ids()
    pack_bytes = cache.packs.total_size()
    builds, measured = count_of(cache.index), cache.measurements.any()
    cache.close()
    everything = sum(_disk_usage(cache.directory / name) for name in _contents(cache.directory))
    return CacheSize(str(cache.directory), len(packs), pack_bytes, max(0, everything - pack_bytes), limit, builds, measured)


def cache_gc(where: Where, max_size: int = 0) -> Collected:
    """See `modelbuild.usecases.cache_gc`."""
    cache = _cache(where)
    if not cache.directory.is_dir():
        return Collected((), (), 0, 0)
    try:
        return cache.collect(max_size or _max_size(where) or default_max_size(cache))
    finally:
        cache.close()


def cache_verify(where: Where) -> Verified:
    """See `modelbuild.usecases.cache_verify`."""
    cache = _cache(where)
    try:
        return cache.verify()
    finally:
        cache.close()


def cache_clean(where: Where) -> CacheSize:
    """See `modelbuild.usecases.cache_clean`."""
    size, directory = cache_size(where), _cache(where).directory
    contents = _contents(directory)
    if not contents:
        return size
    if not _is_cache(directory):
        facts = (f"it holds {', '.join(f'`{name}`' for name in contents)}, but no CACHEDIR.TAG of modelbuild",)
        raise ModelbuildError(
            Problem(f"`{directory}` is not a cache of modelbuild", facts=facts, hint="remove it by hand, if it is to go"), Exit.UNSAFE
        )
    for staged, lock in abandoned(directory):
        files.remove_tree(staged)
        lock.release()
    staging = directory / STAGING
    if staging.is_dir() and any(staging.iterdir()):
        raise ModelbuildError(Problem(f"a build is using `{directory}`", hint="wait until it has ended"), Exit.UNSAFE)
    for name in contents:
        files.remove_tree(directory / name)
    files.sync_directory(directory)
    return size


def _cache(where: Where) -> Cache:
    """Open the cache, whatever the state of the Modelfile."""
    return Cache.open(where.cache_directory(cache_setting(where, stamp.read(where.file))))


def _max_size(where: Where) -> int:
    """Return `[cache] max_size` of a Modelfile that may not be sound, 0 where it sets none."""
    try:
        document: dict[str, Any] = tomli.loads(stamp.read(where.file).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return 0
    match document:
        case {"cache": {"max_size": str(size) | int(size)}}:
            try:
                return parse_size(str(size))
            except ValueError:
                return 0
    return 0


def _outputs_by_pack(where: Where, cache: Cache) -> dict[str, list[str]]:
    """Return the output directories that each pack is part of, as far as the Modelfile tells them."""
    try:
        modelfile = modelfile_at(where)
    except ModelbuildError:
        return {}
    table, found = OutputTable(cache.index), dict[str, list[str]]()
    for path in outputs_of(where, modelfile).values():
        for pack in table.packs(path) if path.is_dir() else ():
            found.setdefault(pack, []).append(str(path))
    return found


def _contents(directory: Path) -> tuple[str, ...]:
    """Return what of a cache directory is the cache's own, README and tags left out."""
    broken = sorted(path.name for path in directory.glob(f"{INDEX}.broken-*"))
    return tuple(name for name in (PACKS, INDEX, STAGING, STAMPS, CONVERTED, *broken) if (directory / name).is_dir())


def _is_cache(directory: Path) -> bool:
    try:
        return (directory / "CACHEDIR.TAG").read_bytes().startswith(TAG.encode()[:_TAG_LENGTH])
    except OSError:
        return False


def _disk_usage(path: Path) -> int:
    """Return the bytes that the files below a directory occupy."""
    total = 0
    for entry in path.rglob("*"):
        try:
            status = entry.lstat()
        except OSError:  # gone since
            continue
        total += status.st_blocks * 512
    return total

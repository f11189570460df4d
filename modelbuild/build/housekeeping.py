"""Housekeeping: what the cache holds and how it is kept small and sound, and outputs removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from modelbuild import files
from modelbuild.build import stamp
from modelbuild.build.project import default_max_size
from modelbuild.build.where import Where, cache_setting
from modelbuild.cache import Cache
from modelbuild.cache.layout import INDEX, PACKS, STAGING, STAMPS, TAG, parse_json
from modelbuild.cache.outputs import OutputTable
from modelbuild.cache.salvage import abandoned
from modelbuild.cache.upkeep import Collected, Verified
from modelbuild.engine.publish import MANIFEST, refuse_foreign
from modelbuild.errors import Exit, ModelbuildError, Problem, did_you_mean
from modelbuild.modelfile.model import Modelfile
from modelbuild.modelfile.parse import read
from modelbuild.names import parse_size

_TAG_LENGTH = TAG.index("cache")
"""Bytes of the tag up to the name of the program, which other programs' caches do not share."""


@dataclass(frozen=True, slots=True)
class KeptPack:
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


@dataclass(frozen=True, slots=True)
class CacheListing:
    """The packs of a cache, most recently used first."""

    directory: str
    packs: tuple[KeptPack, ...]


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How large a cache is.

    Args:
        directory: where it is.
        packs: how many packs it holds.
        pack_bytes: what they occupy on disk.
        other_bytes: what the rest occupies: index, stamps, the files of builds that run or were killed.
        limit: what packs may occupy, 0 where no build has set it yet.

    """

    directory: str
    packs: int
    pack_bytes: int
    other_bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class RemovedOutput:
    """An output directory that is gone; `nbytes` is the size of its files, which the cache may share."""

    target: str
    path: str
    files: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `clean` removed: outputs, and stamps of builds that had written them; `absent` names targets without an output."""

    removed: tuple[RemovedOutput, ...]
    absent: tuple[str, ...]
    stamps: int


def cache_ls(where: Where) -> CacheListing:
    """See `modelbuild.build.cache_ls`."""
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
    """See `modelbuild.build.cache_size`."""
    cache = _cache(where)
    stored = cache.index.get("max_size")
    limit = _max_size(where) or (stored if isinstance(stored, int) else 0)
    packs = cache.packs.ids()
    pack_bytes = cache.packs.total_size()
    cache.close()
    everything = sum(_disk_usage(cache.directory / name) for name in _contents(cache.directory))
    return CacheSize(str(cache.directory), len(packs), pack_bytes, max(0, everything - pack_bytes), limit)


def cache_gc(where: Where, max_size: int = 0) -> Collected:
    """See `modelbuild.build.cache_gc`."""
    cache = _cache(where)
    if not cache.directory.is_dir():
        return Collected((), (), 0, 0)
    try:
        return cache.collect(max_size or _max_size(where) or default_max_size(cache))
    finally:
        cache.close()


def cache_verify(where: Where) -> Verified:
    """See `modelbuild.build.cache_verify`."""
    cache = _cache(where)
    try:
        return cache.verify()
    finally:
        cache.close()


def cache_clean(where: Where) -> CacheSize:
    """See `modelbuild.build.cache_clean`."""
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


def clean(where: Where, targets: Sequence[str] = ()) -> Cleaned:
    """See `modelbuild.build.clean`."""
    modelfile = read(where.file, where.overrides)
    outputs = _outputs(where, modelfile, targets)
    for path in outputs.values():
        files.recover_directory(path)
    present = {name: path for name, path in outputs.items() if path.is_symlink() or path.exists()}
    _refuse(where, modelfile, present)
    present = {name: path for name, path in present.items() if (path / MANIFEST).is_file()}
    cache = Cache.open(where.cache_directory(modelfile.cache.path))
    try:
        stamps = _remove_stamps(cache.stamps, present.values())
        removed = tuple(_remove_output(cache, name, path) for name, path in present.items())
    finally:
        cache.close()
    return Cleaned(removed, tuple(name for name in outputs if name not in present), stamps)


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
        modelfile = read(where.file, where.overrides)
    except ModelbuildError:
        return {}
    table, found = OutputTable(cache.index), dict[str, list[str]]()
    for path in _outputs(where, modelfile, ()).values():
        for pack in table.packs(path) if path.is_dir() else ():
            found.setdefault(pack, []).append(str(path))
    return found


def _contents(directory: Path) -> tuple[str, ...]:
    """Return what of a cache directory is the cache's own, README and tags left out."""
    broken = sorted(path.name for path in directory.glob(f"{INDEX}.broken-*"))
    return tuple(name for name in (PACKS, INDEX, STAGING, STAMPS, *broken) if (directory / name).is_dir())


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


def _outputs(where: Where, modelfile: Modelfile, targets: Sequence[str]) -> dict[str, Path]:
    """Return the output directories of targets, or of every merge where none is named.

    Raises:
        ModelbuildError: exit 2 if a name is no merge.

    """
    merges = modelfile.merges
    declared = f"declared: {', '.join(merges)}" if merges else f"{where.file} declares none"
    problems = [
        Problem(f"no merge is called `{name}`", facts=(declared,), hint=did_you_mean(name, merges))
        for name in targets
        if name not in merges
    ]
    if problems:
        raise ModelbuildError(problems)
    return {name: where.root / (merges[name].output.path or f"out/{name}") for name in dict.fromkeys(targets or merges)}


def _refuse(where: Where, modelfile: Modelfile, outputs: dict[str, Path]) -> None:
    """Refuse, before anything is removed, what modelbuild did not make and what a source stands in.

    Raises:
        ModelbuildError: exit 8, with every refusal.

    """
    problems: list[Problem] = []
    sources = {
        name: (where.root / source.location).resolve()
        for name, source in modelfile.sources.items()
        if not source.location.startswith("hf://")
    }
    for path in outputs.values():
        real = path.resolve()
        inside = [name for name, source in sources.items() if real == source or real in source.parents]
        if inside:
            problems.append(
                Problem(
                    f"`{path}` is not removed: it is source `{inside[0]}`",
                    hint="a source is never written; remove it by hand, if it is to go",
                )
            )
            continue
        try:
            refuse_foreign(path)
        except ModelbuildError as error:
            problems += (
                Problem(one.what, one.at, one.place, one.facts, "move them away: the directory is removed as a whole")
                for one in error.problems
            )
    if problems:
        raise ModelbuildError(problems, Exit.UNSAFE)


def _remove_output(cache: Cache, target: str, path: Path) -> RemovedOutput:
    """Remove one output; the packs it shares stay, and are known again although losing a link moved their times."""
    sizes = [entry.lstat().st_size for entry in path.iterdir()]
    packs = tuple(pack for pack in OutputTable(cache.index).packs(path) if cache.packs.trusted(pack))
    # One rename takes it from its name: there never stands a part of it.
    aside = path.with_name(f".{path.name}.modelbuild-{files.random_name()}")
    files.rename(path, aside)
    files.sync_directory(path.parent)
    files.remove_tree(aside)
    for pack in packs:
        cache.packs.refresh(pack)
    return RemovedOutput(target, str(path), len(sizes), sum(sizes))


def _remove_stamps(directory: Path, outputs: Iterable[Path]) -> int:
    """Remove the stamps of builds that wrote one of these outputs, and return how many."""
    gone = {path.resolve() for path in outputs}
    removed = 0
    for path in sorted(directory.glob("*.json")) if gone else ():
        match parse_json(path.read_bytes()):
            case {"outputs": dict(written)} if any(Path(name).parent in gone for name in written):
                files.unlink(path)
                removed += 1
    return removed

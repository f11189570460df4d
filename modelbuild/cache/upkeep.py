"""Upkeep of the cache: what `cache gc` and `cache verify` do."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec import Struct

from modelbuild import files
from modelbuild.cache.layout import CONVERTED, INDEX, PACKS, STAMPS
from modelbuild.cache.packs import Packs
from modelbuild.cache.salvage import abandoned


class Collected(Struct, frozen=True):
    """What a collection removed.

    Args:
        packs: ids, in the order they went.
        leftovers: paths of dead builds' staging directories and of files that belong to no pack.
        freed: bytes of the removed packs; those that an output shares stay on disk until it goes.
        kept: bytes of the packs that stay.

    """

    packs: tuple[str, ...]
    leftovers: tuple[Path, ...]
    freed: int
    kept: int


class Verified(Struct, frozen=True):
    """What a verification read.

    Args:
        sound: ids of the packs whose bytes are those of their names.
        removed: ids of those that were not, or that nothing explained; what they held is computed again when it is needed.
        nbytes: size of the packs read.

    """

    sound: tuple[str, ...]
    removed: tuple[str, ...]
    nbytes: int


def collect(cache_directory: Path, packs: Packs, max_size: int, keep: Collection[str] = ()) -> Collected:
    """Remove what no build can use, then packs, least recently used first, until the rest fits.

    Args:
        cache_directory: the cache.
        packs: its packs.
        max_size: bytes that packs may occupy on disk.
        keep: ids that stay even if they alone exceed it: those of the build in hand.

    """
    leftovers = tuple(_remove_leftovers(cache_directory, packs))
    sizes = {pack: packs.physical_size(pack) for pack in packs.ids()}
    used = packs.last_used()
    kept, freed = sum(sizes.values()), 0
    removed: list[str] = []
    lost: set[str] = set()
    for pack in sorted(sizes.keys() - set(keep), key=lambda pack: (used.get(pack, 0.0), pack)):
        if kept <= max_size:
            break
        lost |= packs.discard(pack)
        removed.append(pack)
        kept -= sizes[pack]
        freed += sizes[pack]
    if lost:
        packs.find_again(lost)
    return Collected(tuple(removed), leftovers, freed, kept)


def verify(packs: Packs) -> Verified:
    """Hash every pack, and remove those that are not what their names say."""
    sound: list[str] = []
    removed: list[str] = []
    size = 0
    for pack in packs.ids():
        path = packs.has(pack)
        if path is None:
            continue
        size += path.stat().st_size
        (sound if packs.recheck(pack) else removed).append(pack)
    return Verified(tuple(sound), tuple(removed), size)


def _remove_leftovers(cache_directory: Path, packs: Packs) -> Iterator[Path]:
    for directory, lock in abandoned(cache_directory):
        files.remove_tree(directory)
        lock.release()
        yield directory
    for pattern in (".verify-*", ".check-*", ".*.tmp", f"{STAMPS}/.*.tmp", f"{CONVERTED}/*/*.unfinished"):
        for left in sorted(cache_directory.glob(pattern)):
            if _is_forsaken(left):
                files.remove_tree(left)
                yield left
    for broken in sorted(cache_directory.glob(f"{INDEX}.broken-*")):
        files.remove_tree(broken)
        yield broken
    for pack in packs.ids():
        # The file beside a pack is there before the pack: without it nothing will ever say what the pack holds.
        if packs.sidecar(pack) is None:
            packs.discard(pack)
            yield packs.path(pack)
    folder = cache_directory / PACKS
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        orphan = path.suffix == ".json" and not path.with_suffix(".safetensors").exists()
        if (orphan or path.suffix == ".tmp") and _is_forsaken(path):
            files.remove_tree(path)
            yield path


def _is_forsaken(path: Path) -> bool:
    """Tell whether something is so old that nobody who lives is about to complete it."""
    try:
        return time.time() - path.lstat().st_mtime > files.UNFINISHED_SECONDS
    except FileNotFoundError:  # somebody else removed it
        return False

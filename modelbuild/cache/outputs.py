"""What was published where: enough to tell, by stat alone, that an output still stands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from modelbuild.cache.layout import is_digest

if TYPE_CHECKING:
    from modelbuild.cache.index import Index

Stats = Mapping[str, list[int]]
"""What `stat_of` says of the files of an output, by name."""


def stats_of(path: Path, names: Iterable[str]) -> Stats:
    """Return what tells whether files of a directory are still the same; the name "" is that of a file by itself."""
    return {name: stat_of(path / name) for name in names}


def stat_of(path: Path) -> list[int]:
    """Return what tells whether an output's file is still the one published: [] where there is none.

    The ctime is left out: a link that another output makes to the same pack moves it.
    """
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


class OutputTable:
    """Outputs by their real path, under `o:` in an index."""

    def __init__(self, index: Index) -> None:
        """Keep the table in `index`."""
        self._index = index

    def stands(self, path: Path, identity: str, names: Iterable[str]) -> bool:
        """Tell whether the directory at `path` holds what was published under `identity`, file by file."""
        match self._index.get(_key(path)):
            case {"identity": str(known), "stats": dict(stats)} if known == identity:
                return set(stats) == set(names) and all(stat == stat_of(path / name) for name, stat in stats.items())
        return False

    def known(self, path: Path) -> bool:
        """Tell whether what was last published at `path` still stands there."""
        match self._index.get(_key(path)):
            case {"stats": dict(stats)}:
                return all(stat == stat_of(path / name) for name, stat in stats.items())
        return False

    def names(self, path: Path) -> tuple[str, ...]:
        """Return the files that were last published at `path`."""
        match self._index.get(_key(path)):
            case {"stats": dict(stats)}:
                return tuple(stats)
        return ()

    def touched(self, path: Path, name: str) -> str:
        """Return in words what has become of a file that was published at `path`: "" where it is as it was."""
        match self._index.get(_key(path)):
            case {"stats": dict(stats)} if name in stats:
                now = stat_of(path / name)
                return "" if now == stats[name] else "touched since" if now else "not there"
        return ""

    def packs(self, path: Path) -> tuple[str, ...]:
        """Return the packs that the output at `path` was made of."""
        match self._index.get(_key(path)):
            case {"packs": list(packs)}:
                return tuple(pack for pack in packs if isinstance(pack, str) and is_digest(pack))
        return ()

    def remember(self, path: Path, identity: str, stats: Stats, packs: Mapping[str, str]) -> None:
        """Note what was just published at `path`.

        Args:
            path: where.
            identity: of it all.
            stats: of its files, from before they had their names: by now they may be another build's.
            packs: the ids of the packs it is made of, by file name.

        """
        self._index.put_many({_key(path): {"identity": identity, "stats": dict(stats), "packs": list(packs.values())}})


def _key(path: Path) -> str:
    return "o:" + blake3(os.fsencode(os.path.realpath(path))).hexdigest()

"""sha256 of whole files, which hubs and other tools speak: remembered for as long as a file has not been touched."""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

from modelbuild.cache.index import Index
from modelbuild.cache.stattable import stat_tuple


class FileHashes:
    """Hashes by real path and stat tuple, under `h:` in an index."""

    def __init__(self, index: Index) -> None:
        """Keep the table in `index`."""
        self._index = index

    def sha256(self, path: Path, *, full: bool = False) -> str:
        """Return a file's sha256; `full` reads it even where nothing says that it changed.

        Raises:
            OSError: if the file cannot be read.

        """
        import hashlib

        key = "h:" + blake3(os.fsencode(os.path.realpath(path))).hexdigest()
        taken = stat_tuple(path)
        match self._index.get(key):
            case {"stat": stat, "sha256": str(known)} if stat == taken.numbers() and not full:
                return known
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not taken.racy and stat_tuple(path) == taken:
            self._index.put_many({key: {"stat": taken.numbers(), "sha256": found}})
        return found

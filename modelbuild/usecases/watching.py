"""Looking at files until something is saved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from modelbuild.errors import ModelbuildError
from modelbuild.sources.hub import is_hub
from modelbuild.usecases.where import Where, modelfile_at

_EVERY = 0.2
"""Seconds between two looks."""

_STILL = 0.3
"""Seconds for which nothing may move before it is built: programs save in several steps."""

Seen = dict[str, tuple[int, ...]]
"""What tells that a file was written, by path; a file that is not there is not in it."""


def watch(where: Where, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """See `modelbuild.usecases.watch`."""
    places: tuple[Path, ...] = ()
    while True:
        places = _places(where) or places  # of a Modelfile that is not sound the sources are those of before
        seen = _look(where, places)
        yield len(seen)
        _wait(where, places, seen, sleep)


def _wait(where: Where, places: tuple[Path, ...], seen: Seen, sleep: Callable[[float], None]) -> None:
    """Return when what is watched is other than it was, and has come to rest."""
    while (now := _look(where, places)) == seen:
        sleep(_EVERY)
    while True:
        sleep(_STILL)
        last, now = now, _look(where, places)
        if now == last:
            return


def _places(where: Where) -> tuple[Path, ...]:
    """Return where the sources are that lie here, or nothing where the Modelfile does not say."""
    try:
        sources = modelfile_at(where).read.values()
    except ModelbuildError:
        return ()
    mirrors = dict(where.mirrors)
    places = (mirrors.get(one.name) or ("" if is_hub(one.location) else str(where.root / one.location)) for one in sources)
    return tuple(dict.fromkeys(Path(place) for place in places if place))


def _look(where: Where, places: Sequence[Path]) -> Seen:
    """Look at the Modelfile and at the files of sources."""
    seen: Seen = {}
    for path in (*where.files, *places):
        try:
            entries = [Path(entry.path) for entry in os.scandir(path) if entry.is_file()] if path.is_dir() else [path]
        except OSError:
            continue
        for one in entries:
            try:
                status = one.stat()
            except (OSError, ValueError):
                continue
            seen[str(one)] = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return seen

"""The log: what each build of a project was asked for and what came of it, so that an old output can be made again.

A build is a small row under `b:`.  Texts and small files that it speaks of are rows under `f:`, by the digest of their bytes and
packed, so that many builds share them.  All of it can be lost: then there is no log, and nothing else is missing.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3
from msgspec import Struct, field, to_builtins

from modelbuild.cache.index import Index
from modelbuild.cache.layout import Json, is_digest, write_json
from modelbuild.names import is_file_name

MOST_BUILDS = 100
"""Builds of one project that are remembered; the oldest go first."""

LARGEST_FILE = 64 << 20
"""Bytes of a file that is kept for the log: what is larger is left to its source."""

_ID = 8
_LATEST = 1e11
"""Seconds: no build began later, or took longer."""
_FORMAT = 1
_BUILD = "b:"
_FILE = "f:"


class PastOutput(Struct, frozen=True):
    """An output as a build left it.

    Args:
        name: the merge.
        path: its directory.
        state: built, fresh or failed.
        identity: digest of all that is in it; "" where it failed.
        root: Merkle root of its tensors.
        kept: whether its weight files are packs of the cache.
        weights: the id of the pack that each weight file is, by file name.
        small: digests of the other files' bytes, by name.
        read: Merkle root of the tensors that it rests on in each source, by the source's name.
        scope: digest of those tensors' names: roots tell of other bytes where these are the same.

    """

    name: str
    path: str
    state: str
    identity: str = ""
    root: str = ""
    kept: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)
    small: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, str] = field(default_factory=dict)
    scope: Mapping[str, str] = field(default_factory=dict)


class PastSource(Struct, frozen=True):
    """A source as a build read it: where it was, and its commit on a hub."""

    location: str
    commit: str = ""


class PastBuild(Struct, frozen=True):
    """A build.

    Args:
        id: its name, 8 hexadecimal digits.
        started: seconds since 1970.
        seconds: wall clock.
        version: of modelbuild.
        device: what keys say of what computed.
        asked: the targets as named; none for the default ones.
        overrides: `--set` assignments.
        files: the Modelfile, or configurations: (path as given, digest of the text).
        recipe: digest of the tables as they were understood: JSON of text by dotted key.
        lock: digest of the lock's text, as it was after the build; "" where there is none.
        total: actions.
        run: those of them that ran.
        read: bytes.
        written: bytes.
        linked: bytes.
        problems: what failed.
        outputs: of its targets.
        sources: those that were read, by name.
        methods: revision of each method used.

    """

    id: str
    started: float
    seconds: float
    version: str
    device: str
    asked: tuple[str, ...]
    overrides: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    recipe: str
    lock: str
    total: int
    run: int
    read: int
    written: int
    linked: int
    problems: tuple[str, ...]
    outputs: tuple[PastOutput, ...]
    sources: Mapping[str, PastSource]
    methods: Mapping[str, int]

    @property
    def reused(self) -> int:
        """Actions that did not run."""
        return self.total - self.run

    @property
    def kept_files(self) -> frozenset[str]:
        """The digests of all texts and small files that it speaks of."""
        small = {digest for output in self.outputs for digest in output.small.values()}
        return frozenset({*small, *(digest for _, digest in self.files), self.recipe, self.lock} - {""})


class Builds:
    """The log of one project in an index."""

    def __init__(self, index: Index, modelfile: Path) -> None:
        """Look at the project of that Modelfile, known by its path from the cache: a project that moves with its cache keeps its log."""
        self._index = index
        path = os.path.relpath(os.path.realpath(modelfile), os.path.realpath(index.directory))
        self._prefix = f"{_BUILD}{blake3(os.fsencode(path)).hexdigest()[:16]}:"

    def all(self) -> tuple[PastBuild, ...]:
        """Return the builds that are remembered, the latest first."""
        read = (_parsed(row) for _, row in sorted(self._index.scan(self._prefix).items(), reverse=True))
        return tuple(build for build in read if build)

    def last_of(self, target: str) -> PastBuild | None:
        """Return the latest build that left an output of that target."""
        return next((build for build in self.all() for output in build.outputs if output.name == target and output.identity), None)

    def file(self, digest: str) -> bytes | None:
        """Return the bytes of a text or a small file, or None where they are not remembered."""
        row = self._index.get(_FILE + digest) if is_digest(digest) else None
        try:
            data = _unpacked(base64.b64decode(row)) if isinstance(row, str) else None
        except (ValueError, zlib.error):
            return None
        return data if data is not None and blake3(data).hexdigest() == digest else None

    def remember(self, build: PastBuild, files: Iterable[bytes]) -> None:
        """Add a build with the bytes it speaks of, and forget the oldest beyond `MOST_BUILDS`.

        Args:
            build: whose `id` is given by `named`.
            files: texts and small files; those that are there already are not stored again.

        """
        named = {_FILE + blake3(data).hexdigest(): data for data in files if len(data) <= LARGEST_FILE}
        known = self._index.get_many(named)
        rows: dict[str, Json] = {key: base64.b64encode(zlib.compress(data, 1)).decode() for key, data in named.items() if key not in known}
        rows[f"{self._prefix}{round(build.started * 1000):014}-{build.id}"] = {"format": _FORMAT, **to_builtins(build)}
        self._index.put_many(rows)
        self._forget()

    def _forget(self) -> None:
        """Remove the oldest builds, and the files that no build of any project speaks of any more."""
        mine = sorted(self._index.scan(self._prefix))
        gone = set(mine[:-MOST_BUILDS])
        if not gone:
            return
        builds = {key: _parsed(row) for key, row in self._index.scan(_BUILD).items()}
        left = {digest for key, build in builds.items() if build and key not in gone for digest in build.kept_files}
        freed = {digest for key in gone if (build := builds.get(key)) for digest in build.kept_files} - left
        self._index.delete((*gone, *(_FILE + digest for digest in freed)))


def count_of(index: Index) -> int:
    """Return how many builds an index remembers, of all projects."""
    return len(index.scan(_BUILD))


def named(build: PastBuild) -> str:
    """Return the id of a build: of everything that is known of it."""
    return blake3(write_json(to_builtins(build)).encode()).hexdigest()[:_ID]


def digest_of(data: bytes) -> str:
    """Return what the bytes of a text or a small file are called; "" for none."""
    return blake3(data).hexdigest() if data else ""


def _unpacked(data: bytes) -> bytes | None:
    """Unpack bytes, unless they become more than any that was packed."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(data, LARGEST_FILE + 1)
    return found if len(found) <= LARGEST_FILE and unpacking.eof else None


def _parsed(row: Json) -> PastBuild | None:
    """Read a row; None where it is none of ours."""
    try:
        match row:
            case {"format": 1, **fields}:
                return _build(fields)
    except (TypeError, ValueError, KeyError, AttributeError):
        pass
    return None


def _build(fields: Mapping[Any, Any]) -> PastBuild:
    table = dict(fields)
    table["outputs"] = tuple(PastOutput(**output) for output in _list(fields["outputs"]))
    table["sources"] = {name: PastSource(**source) for name, source in _table(fields["sources"]).items()}
    table["files"] = tuple((str(path), str(digest)) for path, digest in _list(fields["files"]))
    for name in ("asked", "overrides", "problems"):
        table[name] = tuple(map(str, _list(fields[name])))
    build = PastBuild(**table)
    numbers = (build.started, build.seconds, build.total, build.run, build.read, build.written, build.linked)
    if not (0 <= build.started < _LATEST and 0 <= build.seconds < _LATEST):
        raise ValueError
    texts = (build.id, build.version, build.device, build.recipe, build.lock)
    if not all(isinstance(number, int | float) for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise TypeError
    for output in build.outputs:
        named = {**output.weights, **output.small}
        if not all(is_file_name(name) and is_digest(digest) for name, digest in named.items()) or not isinstance(output.name, str):
            raise ValueError
    return build


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value

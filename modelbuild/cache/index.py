"""The index: what the cache remembers in a database, and can lose without harm."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from modelbuild import files
from modelbuild.cache.layout import Json, parse_json, prepare, write_json

if TYPE_CHECKING:
    from modelbuild.cache.database import Database


DATABASE = "cache.db"
CHECK_LENGTH = 8
"""Hexadecimal digits after each value that tell whether it is still the one that was stored."""


class DatabaseFailed(Exception):
    """The database did not do what it was asked; `broken` where it is damaged, not only locked, full or out of reach."""

    def __init__(self, *, broken: bool) -> None:
        """Say which of the two."""
        super().__init__(broken)
        self.broken = broken


class Index:
    """JSON by short text, on disk; every failure of it is a miss, and a write that fails is dropped.

    Nothing is opened before the first use, and nothing is made before the first write.  A broken database is thrown away and
    started anew; where none can be had (no permission, no locks) the index lives in memory for this process.
    Each thread has a connection of its own: one that used the index closes its own with `close`.
    `generation` counts the databases thrown away, for those who must tell a new one what they know.
    """

    def __init__(self, directory: Path) -> None:
        """Name the directory, inside the cache directory, that holds the database."""
        self._directory = directory.absolute()
        self._database: Database | None = None
        self._memory: dict[str, str] | None = None
        self._opening = threading.Lock()
        self.generation = 0

    @property
    def directory(self) -> Path:
        """Where the database stands, or would."""
        return self._directory

    def get(self, key: str) -> Json:
        """Return what is stored under a key; None where nothing is, or what is there is no JSON text."""
        database = self._open()
        try:
            text = (self._memory or {}).get(key) if database is None else database.get(key)
        except DatabaseFailed as failure:
            self._failed(failure)
            return None
        return None if text is None else _opened(key, text)

    def get_many(self, keys: Iterable[str]) -> dict[str, Json]:
        """Return what `get` would for each key, without those that are missing; twice as fast as asking for each."""
        wanted = tuple(dict.fromkeys(keys))
        database = self._open()
        memory = self._memory or {}
        try:
            return _decode({key: memory[key] for key in wanted if key in memory} if database is None else database.get_many(wanted))
        except DatabaseFailed as failure:
            self._failed(failure)
            return {}

    def has(self, prefix: str) -> bool:
        """Tell whether there is a key that starts with `prefix`."""
        database = self._open()
        try:
            return any(key.startswith(prefix) for key in self._memory or ()) if database is None else bool(database.scan(prefix, 1))
        except DatabaseFailed as failure:
            self._failed(failure)
            return False

    def scan(self, prefix: str, most: int = -1) -> dict[str, Json]:
        """Return everything whose key starts with `prefix`, in order of keys; the first `most`, where that is not negative."""
        database = self._open()
        memory = sorted((self._memory or {}).items())
        try:
            if database is not None:
                return _decode(database.scan(prefix, most))
            held = [(key, text) for key, text in memory if key.startswith(prefix)]
            return _decode(dict(held[:most] if most >= 0 else held))
        except DatabaseFailed as failure:
            self._failed(failure)
            return {}

    def put_many(self, pairs: Mapping[str, object], *, delete: Iterable[str] = ()) -> None:
        """Store values that JSON can hold, after deleting keys, in one transaction; where it is locked or fails, nothing."""
        self._change({key: _sealed(key, write_json(value)) for key, value in pairs.items()}, tuple(delete))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove keys in one transaction; missing ones are no error."""
        self._change({}, tuple(keys))

    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""
        if self._database is not None:
            self._database.close()

    def _change(self, put: dict[str, str], delete: tuple[str, ...]) -> None:
        if not put and not delete:
            return
        database = self._open(create=bool(put))
        if database is not None:
            try:
                database.change(put, delete)
            except DatabaseFailed as failure:
                self._failed(failure)
        elif self._memory is not None:
            for key in delete:
                self._memory.pop(key, None)
            self._memory.update(put)

    def _open(self, *, create: bool = False) -> Database | None:
        """Return the database; None where none is there yet, or where memory stands in for it."""
        if self._database is not None or self._memory is not None:
            return self._database
        if not create and not os.path.lexists(self._directory / DATABASE):
            return None
        with self._opening:
            if self._database is not None or self._memory is not None:
                return self._database
            for _ in range(2):
                try:
                    self._database = self._open_sound()
                    break
                except OSError:
                    break
                except DatabaseFailed as failure:
                    if not failure.broken or not self._throw_away():
                        break
            if self._database is None:
                self._memory = {}
        return self._database

    def _open_sound(self) -> Database | None:
        """Open the database, made where missing and replaced where diskcache must not open it; None if not for us."""
        from modelbuild.cache.database import Database, is_literal, is_sound

        if not is_literal(self._directory) or not self._own_directory():
            return None
        if not is_sound(self._directory):
            if not self._throw_away():
                return None
            self._own_directory()
        return Database(self._directory)

    def _own_directory(self) -> bool:
        """Make the directory, for its owner alone; False where it is somebody else's."""
        prepare(self._directory.parent)
        files.make_directory(self._directory, 0o700)
        status = self._directory.lstat()
        if status.st_uid != os.geteuid():
            return False
        if status.st_mode & 0o077:
            files.set_mode(self._directory, 0o700)
        return True

    def _failed(self, failure: DatabaseFailed) -> None:
        """Throw a broken database away; one that is only locked or full stays."""
        if not failure.broken:
            return
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None
            if not self._throw_away():
                self._memory = {}

    def _throw_away(self) -> bool:
        """Remove the database, or return False where that cannot be done."""
        self.generation += 1
        # One rename takes the write-ahead log along: a new database must never find an old one's.
        broken = self._directory.with_name(f"{self._directory.name}.broken-{files.random_name()}")
        try:
            # Another process may have been first.
            with contextlib.suppress(FileNotFoundError):
                files.rename(self._directory, broken)
            files.remove_tree(broken)
        except OSError:
            return False
        return True


def _decode(texts: Mapping[str, str]) -> dict[str, Json]:
    decoded = {key: _opened(key, text) for key, text in texts.items()}
    return {key: value for key, value in decoded.items() if value is not None}


def _sealed(key: str, text: str) -> str:
    """Put a check after a text: a database notices little of what a disk does to its rows."""
    return text + _check(key, text)


def _opened(key: str, sealed: str) -> Json:
    """Return the value of a text that is what was stored under this key; None of any other."""
    text = sealed[:-CHECK_LENGTH]
    return parse_json(text) if sealed[-CHECK_LENGTH:] == _check(key, text) else None


def _check(key: str, text: str) -> str:
    return blake3(f"{key} {text}".encode("utf-8", "replace")).hexdigest(CHECK_LENGTH // 2)

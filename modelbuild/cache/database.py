"""diskcache, used safely: values are JSON text in the row itself, and whatever else a database may say is not there.

diskcache unpickles what a row calls a pickle, opens files that a row names (CVE-2025-69872), and makes attributes and
PRAGMAs of its Settings table.  A database can come from anywhere, so none of that may happen here.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path

import diskcache

from modelbuild.cache.index import DATABASE, DatabaseFailed

BUSY_SECONDS = 2.0
SETTINGS = {
    "cull_limit": 0,
    "disk_min_file_size": 0,
    "eviction_policy": "none",
    "size_limit": 1 << 62,
    "sqlite_mmap_size": 0,  # a truncated file is an error, not a SIGBUS
    "statistics": 0,
    "tag_index": 0,
}
LARGEST_QUESTION = 500

_BROKEN = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_ERROR,  # no such table or column
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_NOTADB,
}
_DELETE = "DELETE FROM Cache WHERE key = ? AND raw = 1"
_PUT = (
    "INSERT INTO Cache (key, raw, store_time, access_time, mode, value) VALUES (?, 1, ?, 0, 1, ?)"
    " ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time, expire_time = NULL, tag = NULL, size = 0, mode = 1,"
    " filename = NULL, value = excluded.value"
)
_INLINE = "raw = 1 AND mode = 1 AND filename IS NULL AND typeof(key) = 'text' AND typeof(value) = 'text'"

_ERRORS = (sqlite3.Error, diskcache.Timeout, ValueError, OSError)
"""What a use of diskcache can raise; ValueError when rows are not what it unpacks."""


class InlineText(diskcache.Disk):  # type: ignore[misc]
    """Keys and values are `str` in the row: nothing is pickled or unpickled, and no file is written, read or removed."""

    def put(self, key: object) -> tuple[str, bool]:
        """Turn a key into what the table holds."""
        if type(key) is not str:
            raise TypeError(key)
        return key, True

    def get(self, key: object, raw: object) -> str | None:
        """Turn what the table holds into a key; None where it is none of ours."""
        return key if raw and type(key) is str else None

    def store(self, value: object, read: object, key: object = None) -> tuple[int, int, str | None, object]:
        """Refuse: rows are put by `Database.change`, all in one go."""
        raise TypeError(value, read, key)

    def fetch(self, mode: int, filename: object, value: object, read: object) -> str | None:
        """Turn a row into its value; None where it is none of ours."""
        ours = mode == diskcache.core.MODE_RAW and filename is None and type(value) is str and not read
        return value if ours and type(value) is str else None

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        """Refuse: nothing is stored in a file."""
        raise TypeError(key, value)

    def remove(self, file_path: object) -> None:
        """Remove nothing: a file that a row names is not ours."""


class Database:
    """An open database of text by text."""

    def __init__(self, directory: Path) -> None:
        """Open the database in `directory`, made where it is missing, after `is_sound` was asked."""
        try:
            self._cache = diskcache.Cache(str(directory), timeout=BUSY_SECONDS, disk=InlineText, **SETTINGS)
        except _ERRORS as error:
            raise _failed(error) from error

    def get(self, key: str) -> str | None:
        """Return one value."""
        try:
            value: str | None = self._cache.get(key)
        except _ERRORS as error:
            raise _failed(error) from error
        return value

    def get_many(self, keys: tuple[str, ...]) -> dict[str, str]:
        """Return the values that are there; one question per 500 keys, so twice as fast as asking for each."""
        found: dict[str, str] = {}
        for start in range(0, len(keys), LARGEST_QUESTION):
            part = keys[start : start + LARGEST_QUESTION]
            found |= self._select(f"key IN ({','.join('?' * len(part))})", part)
        return found

    def scan(self, prefix: str, most: int = -1) -> dict[str, str]:
        """Return everything whose key starts with `prefix`, in order of keys; the first `most`, where that is not negative."""
        return self._select("key >= ? AND key < ? ORDER BY key LIMIT ?", (prefix, prefix + "\U0010ffff", most))

    def _select(self, condition: str, values: tuple[str | int, ...]) -> dict[str, str]:
        query = f"SELECT key, value FROM Cache WHERE {_INLINE} AND {condition}"  # noqa: S608 - conditions are the two above
        try:
            return dict(self._cache._sql(query, values))  # noqa: SLF001 - diskcache only asks key by key
        except _ERRORS as error:
            raise _failed(error) from error

    def change(self, put: dict[str, str], delete: tuple[str, ...] = ()) -> None:
        """Delete, then put, in one transaction; nothing of it where it fails.  diskcache, row by row, takes four times as long."""
        now = time.time()
        try:
            rows = self._cache._con  # noqa: SLF001 - this thread's connection
        except _ERRORS as error:
            raise _failed(error) from error
        try:
            rows.execute("BEGIN IMMEDIATE")
            rows.executemany(_DELETE, ((key,) for key in delete))
            rows.executemany(_PUT, ((key, now, text) for key, text in put.items()))
            rows.execute("COMMIT")
        except _ERRORS as error:
            raise _failed(error) from error
        finally:
            if rows.in_transaction:  # a COMMIT that failed leaves it, and the lock, with the connection
                self._cache.close()

    def close(self) -> None:
        """Close this thread's connection; it opens again when it is needed."""
        self._cache.close()


def _failed(error: Exception) -> DatabaseFailed:
    """Tell a database that is damaged from one that is locked, full or out of reach."""
    if isinstance(error, OSError | diskcache.Timeout):
        return DatabaseFailed(broken=False)
    code = getattr(error, "sqlite_errorcode", None)
    # Errors without a code come from Python: text that is no UTF-8, rows that diskcache cannot unpack.
    return DatabaseFailed(broken=code is None or code & 0xFF in _BROKEN)


def is_sound(directory: Path) -> bool:
    """Tell whether the database in `directory` is one that diskcache may open, or none is there.

    Its file is a regular file, it holds tables and no views, and its settings are the ones we would give it.
    """
    path = directory / DATABASE
    if not os.path.lexists(path):
        return True
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    try:
        kinds, settings = _read_schema(path)
    except _ERRORS as error:
        raise _failed(error) from error
    expected = {**diskcache.DEFAULT_SETTINGS, **SETTINGS}
    counted = settings.keys() & diskcache.core.METADATA.keys()
    return (
        all(kind in {"table", "index", "trigger"} and not virtual for kind, virtual in kinds)
        and all(type(settings.pop(key)) is int for key in counted)
        and all(key in expected and expected[key] == value for key, value in settings.items())
    )


def _read_schema(path: Path) -> tuple[set[tuple[str, bool]], dict[object, object]]:
    """Return the kinds of things a database holds, virtual or not, and diskcache's settings."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        kinds = set(connection.execute("SELECT type, sql LIKE 'CREATE VIRTUAL%' FROM sqlite_master"))
        tables = set(connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        return kinds, dict(connection.execute("SELECT key, value FROM Settings")) if ("Settings",) in tables else {}
    finally:
        connection.close()


def is_literal(directory: Path) -> bool:
    """Tell whether diskcache would open this very path: it expands `~` and `$NAME`."""
    return os.path.expandvars(directory.expanduser()) == str(directory)

"""The index: a database that may lose, and may lie, without harm."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelbuild.cache import database
from modelbuild.cache.index import Index

CANARY = "canary"

Tamper = Callable[..., Index]
"""Runs SQL on the database behind the index's back and opens it anew."""


class Bomb:
    """A pickle that, once loaded, leaves a file behind."""

    def __init__(self, path: Path) -> None:
        """Make `path` a directory when loaded."""
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def index(tmp_path: Path):
    """Open an index that does not exist yet."""
    opened = Index(tmp_path / "cache" / "index")
    yield opened
    opened.close()


@pytest.fixture
def tampered(index: Index, tmp_path: Path):
    """Return a function that runs SQL on the database behind the index's back and opens it anew."""
    opened = []

    def tamper(*statements: tuple[str, tuple[object, ...]]) -> Index:
        index.put_many({"k": "good", "l": "good too"})
        index.close()
        connection = sqlite3.connect(tmp_path / "cache/index/cache.db")
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()
        connection.close()
        opened.append(Index(tmp_path / "cache" / "index"))
        return opened[-1]

    yield tamper
    for other in opened:
        other.close()


def test_looking_makes_nothing(index: Index, tmp_path: Path):
    """Neither a directory nor a database, until something is put."""
    assert index.get("k") is None
    assert {} == index.get_many(["k"])
    assert {} == index.scan("")
    index.delete(["k"])

    assert [] == list(tmp_path.iterdir())


def test_looking_imports_no_database(tmp_path: Path):
    """An import of diskcache is a tenth of a null build."""
    code = (
        "import sys; from pathlib import Path; from modelbuild.cache import Cache\n"
        f"cache = Cache.open(Path({str(tmp_path)!r})); cache.records.digest('0' * 64); cache.close()\n"
        "print([m for m in ('diskcache', 'sqlite3', 'pickle', 'numpy', 'torch', 'networkx') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout


def test_what_was_put_is_there_for_the_next_process(index: Index, tmp_path: Path):
    """Any JSON, under any key."""
    values = {"a:1": {"x": [1, 2.5, True]}, "a:2": "text \N{SNOWMAN} \ud800", "b:1": [], "b:2": 0}

    index.put_many(values)
    index.close()
    again = Index(tmp_path / "cache" / "index")

    assert values == {key: again.get(key) for key in values}
    assert values == again.get_many([*values, "missing"])
    assert {"a:1": values["a:1"], "a:2": values["a:2"]} == again.scan("a:")
    again.close()


def test_a_put_replaces_and_a_delete_removes(index: Index):
    """In one transaction, the delete first."""
    index.put_many({"a": 1, "b": 2, "c": 3})

    index.put_many({"a": 10, "b": 20}, delete=["b", "c", "missing"])
    index.delete(["a"])

    assert {"b": 20} == index.scan("")


def test_asking_for_more_keys_than_one_question_takes(index: Index):
    """1201 keys are three questions."""
    values = {f"k{n}": n for n in range(1201)}
    index.put_many(values)

    assert values == index.get_many(values)


def test_the_directory_is_for_its_owner_alone(index: Index, tmp_path: Path):
    """Even one that was not."""
    (tmp_path / "cache" / "index").mkdir(mode=0o755, parents=True)

    index.put_many({"k": 1})

    assert 0o700 == stat.S_IMODE((tmp_path / "cache/index").stat().st_mode)


@pytest.mark.parametrize("column", ["value", "key"])
def test_a_pickle_in_a_row_is_never_loaded(tampered: Tamper, tmp_path: Path, column: str):
    """The row is missing; the others are there."""
    bomb = pickle.dumps(Bomb(tmp_path / CANARY))
    if column == "value":
        hostile = tampered(("UPDATE Cache SET mode = 4, value = ? WHERE key = 'k'", (bomb,)))
    else:
        hostile = tampered(("UPDATE Cache SET raw = 0, key = ? WHERE key = 'k'", (bomb,)))

    assert hostile.get("k") is None
    assert {"l": "good too"} == hostile.get_many(["k", "l"])
    assert {"l": "good too"} == hostile.scan("")
    hostile.put_many({"k": "new"})
    hostile.delete(["l"])
    assert "new" == hostile.get("k")
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["/etc/passwd", "../../{}", "innocent.val"])
def test_a_file_that_a_row_names_is_neither_read_nor_removed(tampered: Tamper, tmp_path: Path, mode: int, name: str):
    """A reading and an overwriting and a deletion of such rows leave it alone."""
    bystanders = [tmp_path / CANARY, tmp_path / "cache" / "index" / "innocent.val"]
    (tmp_path / "cache" / "index").mkdir(parents=True)
    for path in bystanders:
        path.write_bytes(pickle.dumps("stolen"))
    row = "UPDATE Cache SET mode = ?, value = NULL, filename = ?"

    hostile = tampered((row, (mode, name.format(CANARY))))

    assert hostile.get("k") is None
    assert {} == hostile.get_many(["k", "l"])
    hostile.put_many({"k": "new"})
    hostile.delete(["l"])
    assert {"k": "new"} == hostile.scan("")
    assert all(pickle.dumps("stolen") == path.read_bytes() for path in bystanders)


def test_a_row_that_names_a_file_and_has_a_value_too_is_missing(tampered: Tamper):
    """However it is asked for."""
    hostile = tampered(("UPDATE Cache SET filename = 'x' WHERE key = 'k'", ()))

    assert hostile.get("k") is None
    assert {"l": "good too"} == hostile.get_many(["k", "l"]) == hostile.scan("")


def test_a_key_that_is_a_pickle_is_not_loaded_by_a_walk_over_keys(tampered: Tamper, tmp_path: Path):
    """There are several of them in diskcache."""
    hostile = tampered(("UPDATE Cache SET raw = 0, key = ? WHERE key = 'k'", (pickle.dumps(Bomb(tmp_path / CANARY)),)))

    assert {"l", None} == set(hostile._open(create=True)._cache)
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize(
    "value", [b"\x80\x04bytes", 7, 1.5, None, "no json", "[" * 100_000, "1" * 5000, "NaN,", '"\\ud800'], ids=lambda value: str(value)[:9]
)
def test_a_value_that_is_no_json_text_is_missing(tampered: Tamper, value: object):
    """Whatever its type."""
    hostile = tampered(("UPDATE Cache SET value = ? WHERE key = 'k'", (value,)))

    assert hostile.get("k") is None
    assert {"l": "good too"} == hostile.get_many(["k", "l"])


def test_text_that_is_no_text_is_missing(tampered: Tamper):
    """SQLite keeps any bytes as text; the database is begun again at worst."""
    hostile = tampered(("UPDATE Cache SET value = CAST(? AS TEXT) WHERE key = 'k'", (b"\xff\xfe",)))

    assert hostile.get("k") is None
    hostile.put_many({"k": "new"})
    assert "new" == hostile.get("k")


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("INSERT INTO Settings VALUES ('_directory', ?)", ("{}",)),
        ("INSERT INTO Settings VALUES ('disk__directory', ?)", ("{}",)),
        ("INSERT INTO Settings VALUES ('sqlite_temp_store_directory', ?)", ("'{}'",)),
        ("UPDATE Settings SET value = ? WHERE key = 'sqlite_journal_mode'", ("delete; ATTACH '{}' AS x",)),
        ("UPDATE Settings SET value = ? WHERE key = 'eviction_policy'", ("nonsense",)),
        ("UPDATE Settings SET value = ? WHERE key = 'count'", ("many",)),
        ("INSERT INTO Settings VALUES (?, 1)", (b"\xff",)),
        ("INSERT INTO Settings VALUES ('get', ?)", ("{}",)),
        ("CREATE VIEW Other AS SELECT 1", ()),
        ("CREATE VIRTUAL TABLE Other USING fts5(x)", ()),
        ("ALTER TABLE Cache RENAME COLUMN value TO worth", ()),
        ("DROP TABLE Cache", ()),
        ("DROP TABLE Settings", ()),
        ("DROP INDEX Cache_key_raw", ()),
    ],
)
def test_settings_and_tables_of_others_end_a_database(tampered: Tamper, tmp_path: Path, statement: str, values: tuple[object, ...]):
    """What diskcache makes of settings is attributes and PRAGMAs of settings: here the index begins again, or goes on, and works."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    filled = tuple(value.format(place) if isinstance(value, str) else value for value in values)

    hostile = tampered((statement, filled))

    assert hostile.get("k") in (None, "good")
    hostile.put_many({"k": "new"})
    hostile.put_many({"k": "newer"})
    assert "newer" == hostile.get("k")
    assert [] == list(place.iterdir())


def test_a_row_twice_is_no_accident(tampered: Tamper, tmp_path: Path):
    """Without the unique index a key may have two rows."""
    copy = "INSERT INTO Cache (key, raw, mode, value) SELECT key, raw, mode, value FROM Cache"

    hostile = tampered(("DROP INDEX Cache_key_raw", ()), (copy, ()))

    assert hostile.get("k") is None
    hostile.put_many({"k": "new"})
    assert "new" == hostile.get("k")
    assert ["index"] == [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()]


@pytest.mark.parametrize("size", [0, 1, 5000, 100_000])
def test_garbage_for_a_database_is_thrown_away(index: Index, tmp_path: Path, size: int):
    """And the next write finds a new one."""
    place = tmp_path / "cache" / "index"
    place.mkdir(parents=True)
    (place / "cache.db").write_bytes(bytes(range(256)) * (size // 256 + 1) if size else b"")
    (place / "cache.db-wal").write_bytes(b"garbage" * 1000)

    assert index.get("k") is None
    index.put_many({"k": 1})
    assert 1 == index.get("k")
    assert (size > 0) == (index.generation > 0)


@pytest.mark.parametrize("start", [0, 100, 4096, 8192, 20_000])
def test_a_database_damaged_under_our_hands_begins_again(index: Index, tmp_path: Path, start: int):
    """Overwritten while it is open; what is read after is what was put, or nothing."""
    values = {f"k{n}": "x" * 50 for n in range(500)}
    index.put_many(values)
    index.close()
    with (tmp_path / "cache/index/cache.db").open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * 30_000)

    for key, value in values.items():
        assert index.get(key) in (None, value)
    index.put_many(values)
    index.put_many(values)
    assert values == index.get_many(values)


def test_a_link_for_a_database_is_not_followed(index: Index, tmp_path: Path):
    """It would be written to."""
    (tmp_path / "cache" / "index").mkdir(parents=True)
    (tmp_path / CANARY).write_bytes(b"")
    (tmp_path / "cache" / "index" / "cache.db").symlink_to(tmp_path / CANARY)

    index.put_many({"k": 1})

    assert 1 == index.get("k")
    assert b"" == (tmp_path / CANARY).read_bytes()


def test_a_write_against_a_lock_is_dropped_and_reads_go_on(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another process holds the database; afterwards writes arrive again."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    index.put_many({"k": "old"})
    other = sqlite3.connect(tmp_path / "cache/index/cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    index.put_many({"k": "new"})
    index.delete(["k"])

    assert "old" == index.get("k")
    other.execute("ROLLBACK")
    other.close()
    index.put_many({"k": "new"})
    assert "new" == index.get("k")
    assert 0 == index.generation


def test_a_write_that_fails_leaves_nothing_of_itself(index: Index):
    """The database may not grow: the disk is full."""
    index.put_many({"k": "old"})
    connection = index._open()._cache._con
    connection.execute("PRAGMA max_page_count = 20")

    index.put_many({f"k{n}": "x" * 1000 for n in range(200)})

    assert {"k": "old"} == index.scan("")
    index.put_many({"k": "new"})
    assert "new" == index.get("k")


def test_a_commit_that_fails_keeps_nobody_else_out(index: Index, tmp_path: Path):
    """Its transaction is not left open."""
    index.put_many({"k": "old"})

    def refuse(action: int, name: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if (action, name) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    index._open()._cache._con.set_authorizer(refuse)

    index.put_many({"k": "new"})

    other = Index(tmp_path / "cache" / "index")
    assert "old" == other.get("k")
    other.put_many({"k": "other"})
    assert "other" == index.get("k")
    other.close()


def test_where_no_database_can_be_had_memory_serves(tmp_path: Path):
    """A file stands where the directory should be."""
    (tmp_path / "cache").write_bytes(b"")
    index = Index(tmp_path / "cache" / "index")

    index.put_many({"a:1": [1], "b:1": 2})
    index.delete(["b:1"])

    assert [1] == index.get("a:1")
    assert {"a:1": [1]} == index.get_many(["a:1", "b:1"]) == index.scan("a:")


def test_a_path_with_a_dollar_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Though diskcache would expand it and write elsewhere."""
    monkeypatch.setenv("PLACE", str(tmp_path / "elsewhere"))
    index = Index(tmp_path / "x$PLACE" / "index")

    index.put_many({"k": 1})

    assert 1 == index.get("k")
    assert [] == list(tmp_path.rglob("cache.db"))


def test_threads_share_an_index(index: Index):
    """Each with a connection of its own."""
    failures: list[object] = []

    def work(number: int) -> None:
        for round_ in range(20):
            index.put_many({f"{number}:{round_}": round_})
            if index.get(f"{number}:{round_}") != round_:
                failures.append((number, round_))
        index.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failures
    assert 80 == len(index.scan(""))


def test_an_index_removed_by_hand_is_empty(index: Index, tmp_path: Path):
    """And a new one is made."""
    index.put_many({"k": 1})
    index.close()
    shutil.rmtree(tmp_path / "cache" / "index")
    again = Index(tmp_path / "cache" / "index")

    assert again.get("k") is None
    again.put_many({"k": 2})
    assert 2 == again.get("k")
    again.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE Cache SET value = replace(value, 'good', 'food') WHERE key = 'k'",
        "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'l') WHERE key = 'k'",
        "UPDATE Cache SET value = '\"good\"' WHERE key = 'k'",
    ],
)
def test_a_row_that_is_not_what_was_stored_is_missing(tampered: Tamper, statement: str):
    """A letter changed, the row of another key, no check at all; the other row is there."""
    opened = tampered((statement, ()))

    assert [None, "good too"] == [opened.get("k"), opened.get("l")]
    assert {"l": "good too"} == opened.get_many(("k", "l"))

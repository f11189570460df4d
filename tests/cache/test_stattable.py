"""Digests remembered of source files, for as long as nobody touched them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelbuild.cache import Cache, Stat, stat_tuple, stattable

A, B, C = "a" * 64, "b" * 64, "c" * 64
LATER = 3_000_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a source file."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files three seconds from now."""
    now = time.time_ns
    monkeypatch.setattr(stattable.time, "time_ns", lambda: now() + LATER)


@pytest.mark.usefixtures("later")
def test_what_was_learned_in_parts_is_remembered_whole(cache: Cache, source: Path):
    """By path, by any name of the file, and by descriptor."""
    taken = stat_tuple(source)
    assert cache.stats.remembered(source) is None

    assert cache.stats.remember(source, taken, {"x": A})
    assert cache.stats.remember(source, taken, {"y": B})

    link = source.with_name("link")
    link.symlink_to(source)
    with source.open("rb") as file:
        assert {"x": A, "y": B} == cache.stats.remembered(source, stat_tuple(file.fileno()))
    assert {"x": A, "y": B} == cache.stats.remembered(link)


def test_a_file_younger_than_two_seconds_is_not_remembered(cache: Cache, source: Path):
    """It can change again without its times moving."""
    taken = stat_tuple(source)

    assert taken.racy
    assert not cache.stats.remember(source, taken, {"x": A})
    assert cache.stats.remembered(source) is None


def test_two_seconds_are_counted_from_when_the_file_was_looked_at(cache: Cache, source: Path, monkeypatch: pytest.MonkeyPatch):
    """Not from when its hashing was over."""
    taken = stat_tuple(source)
    now = time.time_ns
    monkeypatch.setattr(stattable.time, "time_ns", lambda: now() + LATER)

    assert not cache.stats.remember(source, taken, {"x": A})
    assert cache.stats.remember(source, stat_tuple(source), {"x": A})


@pytest.mark.parametrize(("back", "racy"), [(1.9, True), (2.1, False), (-1.9, True), (-1e6, False)])
def test_a_young_mtime_alone_is_racy_too(source: Path, monkeypatch: pytest.MonkeyPatch, back: float, racy: bool):
    """Two seconds either way; one far in the future hides no change, which would set it to now."""
    ctime = source.stat().st_ctime_ns
    now = ctime + 10_000_000_000
    os.utime(source, ns=(now, now - int(back * 1e9)))
    monkeypatch.setattr(stattable.time, "time_ns", lambda: now)

    assert racy == stat_tuple(source).racy


def test_a_young_ctime_alone_is_racy(source: Path):
    """Whoever wrote the file may have put its mtime back."""
    os.utime(source, ns=(0, 0))

    assert stat_tuple(source).racy


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("field", ["device", "inode", "size", "mtime", "ctime"])
def test_any_number_that_moves_makes_a_file_unknown(cache: Cache, source: Path, field: str):
    """Each of the five."""
    taken = stat_tuple(source)
    cache.stats.remember(source, taken, {"x": A})

    assert cache.stats.remembered(source, replace(taken, **{field: getattr(taken, field) + 1})) is None


@pytest.mark.usefixtures("later")
def test_a_file_that_changed_is_unknown_and_learned_anew(cache: Cache, source: Path):
    """Nothing of the old table stays, even with size and mtime put back."""
    old = source.stat()
    cache.stats.remember(source, stat_tuple(source), {"x": A, "y": B})
    time.sleep(0.02)
    source.write_bytes(b"WEIGHTS")
    os.utime(source, ns=(old.st_atime_ns, old.st_mtime_ns))

    assert cache.stats.remembered(source) is None
    assert cache.stats.remember(source, stat_tuple(source), {"x": C})
    assert {"x": C} == cache.stats.remembered(source)


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_while_it_is_read_is_not_remembered(cache: Cache, source: Path):
    """Or that goes."""
    taken = stat_tuple(source)
    source.write_bytes(b"longer weights")
    assert not cache.stats.remember(source, taken, {"x": A})
    source.unlink()

    assert not cache.stats.remember(source, taken, {"x": A})
    assert {} == cache.index.scan("s:")


@pytest.mark.usefixtures("later")
def test_rows_that_make_no_sense_are_no_digests(cache: Cache, source: Path):
    """Of a hostile index."""
    taken = stat_tuple(source)
    cache.stats.remember(source, taken, {"x": A})
    (key,) = cache.index.scan("s:")
    cache.index.put_many({key: {"stat": taken.numbers(), "digests": {"x": "../../etc", "y": 7, "z": B}}})
    assert {"z": B} == cache.stats.remembered(source)

    for row in ({"stat": taken.numbers(), "digests": 3}, {"stat": None, "digests": {}}, [], "x", 3):
        cache.index.put_many({key: row})
        assert cache.stats.remembered(source) is None


@pytest.mark.usefixtures("later")
def test_a_path_need_not_be_unicode(cache: Cache, tmp_path: Path):
    """Linux file names are bytes."""
    path = tmp_path / os.fsdecode(b"mod\xffel")
    try:
        path.write_bytes(b"weights")
    except OSError:
        pytest.skip("this file system takes Unicode only")

    assert cache.stats.remember(path, stat_tuple(path), {"x": A})
    assert {"x": A} == cache.stats.remembered(path)


def test_racy_takes_no_part_in_comparison():
    """The same file, looked at twice."""
    assert Stat(1, 2, 3, 4, 5, racy=True) == Stat(1, 2, 3, 4, 5, racy=False)
    assert not Stat(1, 2, 3, 4, 5, racy=True) != Stat(1, 2, 3, 4, 5, racy=False)  # noqa: SIM202 - a struct has `!=` of its own

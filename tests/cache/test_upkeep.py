"""What `cache gc` and `cache verify` remove, and what they leave."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from modelbuild.cache import Cache
from modelbuild.cache import packs as packs_module
from modelbuild.cache.layout import TAG

from .conftest import Make, entry, key, write_pack

BLOCK = 64 << 10


@pytest.fixture
def three(make: Make, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Add three packs of one size, used at 100, 200 and 300."""
    packs = []
    for number in (1, 2, 3):
        monkeypatch.setattr(packs_module.time, "time", lambda now=100.0 * number: now)
        packs.append(make(**{f"t{number}": bytes([number]) * BLOCK}))
    monkeypatch.undo()
    return tuple(packs)


def test_the_least_recently_used_pack_goes_first(cache: Cache, three: tuple[str, str, str]):
    """Until the rest fits, counted in blocks on disk."""
    one, two, last = three
    size = cache.packs.physical_size(one)
    assert size >= BLOCK
    assert 3 * size == cache.packs.total_size()

    done = cache.collect(2 * size)

    assert ((one,), (), size, 2 * size) == (done.packs, done.leftovers, done.freed, done.kept)
    assert sorted([two, last]) == list(cache.packs.ids())


def test_use_makes_a_pack_young(cache: Cache, three: tuple[str, str, str]):
    """Touched now, the oldest is the youngest."""
    one, two, last = three
    cache.packs.touch([one])

    done = cache.collect(cache.packs.physical_size(one))

    assert (two, last) == done.packs


def test_the_build_in_hand_keeps_its_packs(cache: Cache, three: tuple[str, str, str]):
    """Even where they alone are too large, and the oldest."""
    one, two, last = three

    done = cache.collect(0, keep={one, two})

    assert (last,) == done.packs
    assert cache.packs.trusted(one)


@pytest.mark.usefixtures("three")
def test_enough_room_removes_nothing(cache: Cache):
    """To the byte."""
    assert () == cache.collect(cache.packs.total_size()).packs


@pytest.mark.usefixtures("three")
def test_records_outlive_the_bytes(cache: Cache):
    """The key of a final tensor is found by walking them."""
    cache.collect(0)

    assert () == cache.packs.ids()
    assert entry("t1", bytes([1]) * BLOCK).digest == cache.records.digest(key("t1"))
    assert ["packs", "r:"] == sorted({name[:5] if name == "packs" else name[:2] for name in cache.index.scan("")})
    assert [] == list((cache.directory / "packs").iterdir())


def test_a_tensor_in_two_packs_is_found_in_the_one_that_stays(cache: Cache, make: Make, three: tuple[str, str, str]):
    """The index knew of the other."""
    shared = bytes([1]) * BLOCK
    both = make(t1=shared, extra=b"extra")
    tensor = entry("t1", shared)
    located = cache.packs.locate(tensor.digest, tensor.dtype, tensor.shape)
    assert located is not None
    assert cache.packs.path(both) == located.path
    cache.packs.touch(three)
    time.sleep(0.01)
    cache.packs.touch([three[0]])
    cache.index.put_many({"u:" + both: 1.0})

    done = cache.collect(cache.packs.total_size() - 1)

    assert (both,) == done.packs
    located = cache.packs.locate(tensor.digest, tensor.dtype, tensor.shape)
    assert located is not None
    assert cache.packs.path(three[0]) == located.path


def test_without_an_index_the_age_of_the_file_counts(cache: Cache, three: tuple[str, str, str]):
    """Nothing is known of its use."""
    cache.index.delete(["u:" + three[2]])
    assert cache.packs.last_used()[three[2]] == pytest.approx(time.time(), abs=60)


def test_what_no_build_can_use_goes_whatever_the_size(cache: Cache, three: tuple[str, str, str]):
    """A dead build's staging, a pack that nothing explains, an index thrown away half; young files of others stay."""
    staging = cache.staging()
    write_pack(staging, {"x": b"x"})
    staging._lock.release()
    folder = cache.directory / "packs"
    (folder / f"{three[0]}.json").write_bytes(b"torn")
    broken = cache.directory / "index.broken-01234567"
    broken.mkdir()
    for name in (f"{'a' * 64}.json", f".{'b' * 64}.json.01234567.tmp"):
        (folder / name).write_bytes(b"")
        (folder / ("young" + name)).write_bytes(b"")
        os.utime(folder / name, (time.time() - 3601,) * 2)

    done = cache.collect(1 << 40)

    expected = [staging.path, broken, cache.packs.path(three[0]), folder / f".{'b' * 64}.json.01234567.tmp", folder / f"{'a' * 64}.json"]
    assert expected == list(done.leftovers)
    assert not any(path.exists() for path in expected)
    assert (folder / f"young{'a' * 64}.json").exists()
    assert sorted(three[1:]) == list(cache.packs.ids())


@pytest.mark.usefixtures("three")
def test_a_running_build_loses_nothing_to_a_collection(cache: Cache):
    """Its staging directory is locked, in this process and in others."""
    staging = cache.staging()
    path, *rest = write_pack(staging, {"x": b"x"})

    cache.collect(0)

    assert path.exists()
    cache.packs.add(path, *rest)
    staging.close()


def test_verification_reads_every_pack_and_removes_what_is_wrong(cache: Cache, three: tuple[str, str, str]):
    """Even where the stat tuple says that nobody touched it."""
    one, two, last = three
    path = cache.packs.path(two)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    cache.packs.refresh(two)
    assert cache.packs.trusted(two)
    size = sum(cache.packs.path(pack).stat().st_size for pack in three)

    done = cache.verify()

    assert (tuple(sorted([one, last])), (two,), size) == (done.sound, done.removed, done.nbytes)
    assert not path.exists()


def test_an_empty_cache_has_nothing_to_keep_up(cache: Cache):
    """And stays one that does not exist."""
    assert () == cache.collect(0).packs
    assert () == cache.verify().sound

    assert not cache.directory.exists()


def test_a_new_cache_is_marked_for_backups_and_git(cache: Cache, make: Make):
    """By its first write."""
    make(x=b"x")

    assert TAG == (cache.directory / "CACHEDIR.TAG").read_text()
    assert TAG.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert "*\n" == (cache.directory / ".gitignore").read_text()


def test_a_directory_of_somebodys_own_is_not_hidden_from_git(cache: Cache, make: Make):
    """It holds a README."""
    cache.directory.mkdir()
    (cache.directory / "README.md").write_text("mine")

    make(x=b"x")

    assert (cache.directory / "CACHEDIR.TAG").exists()
    assert not (cache.directory / ".gitignore").exists()


def test_the_index_alone_marks_the_cache_too(cache: Cache):
    """A build that stores nothing still remembers."""
    cache.index.put_many({"k": 1})

    assert [".gitignore", "CACHEDIR.TAG", "index"] == sorted(path.name for path in Path(cache.directory).iterdir())

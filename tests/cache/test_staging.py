"""Staging and salvage: what a build that was killed leaves to the next."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelbuild import files
from modelbuild.cache import Cache, Salvaged, Staging
from modelbuild.cache.staging import LOCK
from tests.support.doors import Failing

from .conftest import Arm, Killed, entry, key, write_pack

X, Y = b"first tensor", b"second"

DYING_BUILD = """
import os, sys
from pathlib import Path
from modelbuild.cache import Cache, TensorEntry
cache = Cache.open(Path(sys.argv[1]))
staging = cache.staging()
pack = staging.open_pack("layer-7", b"HEADER64" * 8, 18)
entries = [TensorEntry(*fields[:2], (fields[2],), *fields[3:]) for fields in {entries!r}]
pack.write(0, b"first tensor")
pack.finished(entries[0], 0)
pack.write(12, b"sec")
os._exit(9)
"""


def bytes_of(tensor: Salvaged) -> bytes:
    """Read a salvaged tensor."""
    with tensor.location.path.open("rb") as file:
        file.seek(tensor.location.offset)
        return file.read(tensor.location.nbytes)


def dead_build(cache: Cache, tensors: dict[str, bytes]) -> Path:
    """Leave a staging directory as a build that was killed does."""
    staging = cache.staging()
    write_pack(staging, tensors)
    staging._lock.release()
    return staging.path


def test_finished_tensors_of_a_killed_build_are_salvaged(cache: Cache):
    """In another process, without a word of warning; the half-written one is not among them."""
    fields = [(tensor.name, tensor.dtype, *tensor.shape, tensor.digest, tensor.key) for tensor in (entry("x", X), entry("y", Y))]
    code = DYING_BUILD.format(entries=fields)

    done = subprocess.run([sys.executable, "-c", code, str(cache.directory)], check=False)
    salvage = cache.salvage()

    assert 9 == done.returncode
    (tensor,) = salvage.tensors
    assert entry("x", X) == tensor.entry
    assert X == bytes_of(tensor)
    assert (64, 12, "U8", (12,)) == (tensor.location.offset, tensor.location.nbytes, tensor.location.dtype, tensor.location.shape)
    assert 64 + 18 == tensor.location.path.stat().st_size
    salvage.drop(lambda _: True)
    assert [] == list((cache.directory / "staging").iterdir())


def test_a_build_that_lives_is_not_salvaged(cache: Cache):
    """Its directory is locked."""
    staging = cache.staging()
    write_pack(staging, {"x": X})

    salvage = cache.salvage()
    assert () == salvage.tensors
    salvage.drop(lambda _: True)

    assert staging.path.is_dir()
    staging.close()
    assert not staging.path.exists()


def test_what_another_machine_left_is_its_own_until_it_has_been_silent_for_an_hour(cache: Cache):
    """Its locks may not reach this one; nor did those of this one reach past its last start."""
    directory = dead_build(cache, {"x": X})
    elsewhere = directory.with_name("01234567-01234567")
    directory.rename(elsewhere)

    young = cache.salvage()
    assert () == young.tensors
    young.drop(lambda _: True)
    assert elsewhere.is_dir()

    for path in elsewhere.iterdir():
        os.utime(path, (time.time() - 3700, time.time() - 3700))
    old = cache.salvage()
    assert [X] == [bytes_of(tensor) for tensor in old.tensors]
    old.drop(lambda _: True)
    assert not elsewhere.exists()


def test_a_dead_build_has_one_heir(cache: Cache):
    """Who leaves it to the next, or drops it."""
    directory = dead_build(cache, {"x": X, "y": Y})

    first, second = cache.salvage(), cache.salvage()
    assert [X, Y] == [bytes_of(tensor) for tensor in first.tensors]
    assert () == second.tensors
    second.drop(lambda _: True)
    assert directory.is_dir()

    first.release()
    third = cache.salvage()
    assert [X, Y] == [bytes_of(tensor) for tensor in third.tensors]
    third.drop(lambda _: True)
    assert not directory.exists()


def test_a_build_that_ends_early_can_leave_what_it_finished(cache: Cache):
    """On Ctrl-C."""
    staging = cache.staging()
    write_pack(staging, {"x": X})
    staging.close(keep=True)

    salvage = cache.salvage()

    assert [entry("x", X)] == [tensor.entry for tensor in salvage.tensors]
    salvage.drop(lambda _: True)


def test_a_journal_cut_anywhere_gives_its_whole_lines(cache: Cache):
    """At every byte."""
    directory = dead_build(cache, {"x": X, "y": Y})
    journal = directory / "pack.journal"
    text = journal.read_bytes()
    first = text.index(b"\n") + 1

    for length in range(len(text) + 1):
        journal.write_bytes(text[:length])
        salvage = cache.salvage()
        names = [tensor.entry.name for tensor in salvage.tensors]
        salvage.release()

        assert ["x", "y"][: (length >= first) + (length == len(text))] == names


def test_lines_that_make_no_sense_are_passed_over(cache: Cache):
    """And those round them are read."""
    directory = dead_build(cache, {"x": X, "y": Y})
    journal = directory / "pack.journal"
    one, two = journal.read_bytes().splitlines()
    beyond = json.loads(two)
    beyond["offset"] = 10_000
    journal.write_bytes(b"\n".join([b"\xff\xfe", one, b"[" * 100_000, b"{}", json.dumps(beyond).encode(), two, b""]))

    salvage = cache.salvage()

    assert ["x", "y"] == [tensor.entry.name for tensor in salvage.tensors]
    salvage.drop(lambda _: True)


def test_a_pack_that_reached_the_cache_is_not_salvaged(cache: Cache):
    """Its file is no longer in the staging directory, only its journal."""
    staging = cache.staging()
    cache.packs.add(*write_pack(staging, {"x": X}))
    staging._lock.release()

    salvage = cache.salvage()

    assert () == salvage.tensors
    salvage.drop(lambda _: True)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "lock", "a.journal"])
def test_a_staged_pack_has_the_name_of_a_file(cache: Cache, name: str):
    """And of no other file there."""
    staging = cache.staging()

    with pytest.raises(ValueError, match="cannot name a staged pack"):
        staging.open_pack(name, b"", 0)
    staging.close()


def test_tensors_are_written_in_any_order_from_any_piece(cache: Cache):
    """The header is there, and the file has its size from the start."""
    staging = cache.staging()
    pack = staging.open_pack("p", b"HEAD", 6)
    assert 10 == pack.path.stat().st_size

    pack.write(3, memoryview(b"def"))
    pack.write(0, bytearray(b"ab"))
    pack.write(2, b"c")

    assert b"HEADabcdef" == pack.seal().read_bytes()
    pack.close()
    staging.close()


def test_whatever_kills_the_making_of_a_directory_it_is_cleaned_up(cache: Cache, die_before: Arm):
    """Without a lock only after an hour: until then it may be in the making."""
    for last in (*range(8), 0, 1, 2):
        die_before(last)
        with contextlib.suppress(Killed):
            Staging(cache.directory).close(keep=True)
        die_before(-1)
    staging = cache.directory / "staging"
    cache.collect(0)
    unlocked = list(staging.iterdir())
    assert unlocked
    assert not any((directory / LOCK).exists() for directory in unlocked)
    for directory in unlocked:
        os.utime(directory, (time.time() - 3601,) * 2)

    cache.collect(0)

    assert [] == list(staging.iterdir())


def test_without_locks_only_an_old_build_is_dead(cache: Cache, monkeypatch: pytest.MonkeyPatch):
    """A week old: no file system can say that it lives."""

    def none(fd: int, operation: int) -> None:
        del fd, operation
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    staging = cache.staging()
    write_pack(staging, {"x": X})

    assert () == cache.salvage().tensors
    os.utime(staging.path / LOCK, (time.time() - 8 * 24 * 3600,) * 2)
    salvage = cache.salvage()

    assert [entry("x", X)] == [tensor.entry for tensor in salvage.tensors]
    salvage.drop(lambda _: True)
    staging.close()


def test_strangers_in_the_staging_directory_are_left_alone(cache: Cache):
    """A file, and a link to a directory of somebody's."""
    dead_build(cache, {"x": X})
    staging = cache.directory / "staging"
    (staging / "notes").write_bytes(b"notes")
    precious = cache.directory / "precious"
    precious.mkdir()
    (staging / "link").symlink_to(precious)

    salvage = cache.salvage()
    salvage.drop(lambda _: True)

    assert ["link", "notes"] == sorted(path.name for path in staging.iterdir())
    assert precious.is_dir()


def test_a_staged_pack_that_finds_no_room_says_so(cache: Cache, monkeypatch: pytest.MonkeyPatch):
    """When it is made, before anything is computed; its descriptors are closed."""
    staging = cache.staging()
    before = len(list(Path("/dev/fd").iterdir()))
    monkeypatch.setattr(files.door, "current", Failing(errno.ENOSPC, lambda operation: operation.kind == "allocate"))
    with pytest.raises(OSError, match="No space left"):
        staging.open_pack("p", b"", 1 << 20)
    monkeypatch.undo()

    assert before == len(list(Path("/dev/fd").iterdir()))
    staging.close()


def test_keys_travel_with_salvaged_tensors(cache: Cache):
    """A record can be made of them."""
    dead_build(cache, {"x": X})

    salvage = cache.salvage()

    assert [key("x")] == [tensor.entry.key for tensor in salvage.tensors]
    salvage.drop(lambda _: True)

"""What will be looked at soon is asked for: the disk reads while nobody waits, and nothing is asked for without need."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time

import pytest
from msgspec.structs import replace

from modelbuild.engine import readahead
from modelbuild.engine.compute import compute
from modelbuild.engine.needs import Need
from modelbuild.engine.readahead import ENOUGH, ask
from modelbuild.engine.regions import FileRegion, digest_of
from modelbuild.engine.workspace import Workspace
from modelbuild.kernels import BLOCK, Operand
from tests.engine.jobs import CPU
from tests.engine.test_windows import in_a_file
from tests.methods.values import WAYS, family, uniform

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are not looked at in place here")

SIZE = 4 << 20


@pytest.fixture
def on_disk(tmp_path):
    """Return the descriptor of a file of which nothing is in the page cache."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(SIZE))
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(fd):
        pytest.skip("this file system keeps what it is told to forget")
    yield fd
    os.close(fd)


@pytest.fixture
def asked(monkeypatch):
    """Return the list of what the system is asked for from now on, whatever it reads ahead by itself."""
    monkeypatch.setattr(readahead, "_own", lambda device: 0)
    calls, advise = [], os.posix_fadvise
    monkeypatch.setattr(os, "posix_fadvise", lambda *given: calls.append(given[1:]) or advise(*given))
    return calls


def cached(fd: int) -> int:
    """Return how many of the file's bytes are in the page cache, without bringing any there."""
    with mmap.mmap(fd, SIZE) as mapped:
        found = (ctypes.c_ubyte * (SIZE // mmap.PAGESIZE))()
        start = ctypes.c_ubyte.from_buffer(mapped)
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(SIZE), found) == 0
        del start
    return mmap.PAGESIZE * sum(one & 1 for one in found)


def test_what_was_asked_for_is_read_though_nobody_touches_it(on_disk, asked):
    ask(on_disk, 0, SIZE)

    end = time.monotonic() + 20
    while cached(on_disk) < SIZE and time.monotonic() < end:
        time.sleep(0.01)
    assert (SIZE, [(0, SIZE, os.POSIX_FADV_WILLNEED)]) == (cached(on_disk), asked)


def test_nothing_is_asked_for_that_is_there(on_disk, asked):
    assert len(os.pread(on_disk, SIZE, 0)) == SIZE

    ask(on_disk, 0, SIZE)

    assert asked == []


def test_nothing_is_asked_for_where_the_system_reads_far_by_itself(on_disk, asked, monkeypatch):
    monkeypatch.setattr(readahead, "_own", lambda device: ENOUGH)

    ask(on_disk, 0, SIZE)

    assert (asked, cached(on_disk)) == ([], 0)


def test_a_file_that_cannot_be_read_ahead_is_no_error(asked):
    """It is a hint, and no more: what is wrong with a file is for whoever reads it to say."""
    ends = os.pipe()
    ask(ends[0], 0, 1)
    for end in ends:
        os.close(end)

    assert len(asked) == 1


def test_how_far_the_system_reads_is_what_the_device_says(tmp_path, monkeypatch):
    """Of a disk and its partition, of what is no disk (a network's files), and of what says nothing."""
    numbers = {"disk": (8, 0), "disk/part": (8, 1)}
    for place, number in numbers.items():
        (tmp_path / "devices" / place).mkdir(parents=True)
        (tmp_path / "sys/dev/block").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/dev/block" / "{}:{}".format(*number)).symlink_to(tmp_path / "devices" / place)
    for place, kib in (("devices/disk/queue", 512), ("sys/class/bdi/0:40", 2048)):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "read_ahead_kb").write_text(f"{kib}\n")
    monkeypatch.setattr(readahead, "Path", lambda first, *more: tmp_path.joinpath(first[1:], *more))

    found = [readahead._own.__wrapped__(os.makedev(*number)) >> 10 for number in (*numbers.values(), (0, 40), (0, 41))]

    assert found == [512, 512, 2048, 128]


@pytest.mark.parametrize("name", ["linear", "ties", "dare_ties", "della", "slerp"])
def test_whatever_a_merge_looks_at_was_asked_for_before(tmp_path, monkeypatch, name):
    """And the chunk after it: in every pass, of base and inputs; and before a sample is taken."""
    way = next(way for way in WAYS if way[0].name == name)
    case = family(way, uniform(0, 5 * BLOCK))
    values = case.inputs if case.base is None else (case.base, *case.inputs)
    held = tuple(in_a_file(tmp_path / str(i), one, "F32") for i, one in enumerate(values))
    job = replace(case, regions=held).job(lambda *_: None)
    told: dict[int, int] = {}
    ahead, elements, whole = Need.ahead, Need.elements, Need.whole

    def asking(need, offset, count) -> None:
        told[id(need)] = max(told.get(id(need), 0), offset + count)
        ahead(need, offset, count)

    def looking(need, offset, count) -> Operand:
        assert min(offset + 2 * count, case.action.numel) <= told[id(need)]
        return elements(need, offset, count)

    def laying(need) -> Operand | None:
        assert told[id(need)]
        return whole(need)

    monkeypatch.setattr(Need, "whole", laying)
    monkeypatch.setattr(Need, "ahead", asking)
    monkeypatch.setattr(Need, "elements", looking)
    compute(job, Workspace(CPU, BLOCK))

    assert len(told) == len(held)


def test_what_is_only_digested_is_asked_for_too(on_disk, asked, tmp_path):
    held = FileRegion(on_disk, tmp_path / "file", 4, SIZE - 4)

    digest_of(held, "F32", (SIZE // 4 - 1,))

    assert asked == [(4, SIZE - 4, os.POSIX_FADV_WILLNEED)]

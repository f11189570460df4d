"""A pack that is being made: nobody waits for it idly, and what fails is tried again."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.checkpoint.header import lay_out
from modelbuild.engine.desk import Desk
from modelbuild.engine.shelf import Shelf
from modelbuild.errors import ModelbuildError
from tests.support.doors import Failing

NAME = "model.norm.weight"
LAYOUT = lay_out([(NAME, "F32", (4,))])
FULL = Failing(errno.ENOSPC, lambda operation: operation.kind == "allocate" and operation.path.name == "2")


class SlowDesk(Desk):
    """A desk that notes what is asked of it, and takes its time with two packs."""

    def __init__(self, cache) -> None:
        super().__init__(cache)
        self.asked, self.may_go_on = [], threading.Event()

    def open(self, name, layout):
        self.asked.append(name)
        if name != "2":
            assert self.may_go_on.wait(30)
        return super().open(name, layout)


@pytest.fixture
def desk(tmp_path):
    cache = Cache.open(tmp_path)
    desk = SlowDesk(cache)
    yield desk
    desk.close(keep=False)
    cache.close()


@pytest.fixture
def shelves(desk):
    shelves = [Shelf(f"{i}", LAYOUT, desk) for i in range(3)]
    shelves[0].next, shelves[1].next = shelves[1:]
    yield shelves
    for shelf in shelves:
        shelf.close()


def test_whoever_finds_a_pack_being_made_makes_the_next_meanwhile(desk, shelves, monkeypatch):
    """Each is made once.  That there is no room for the third is nobody's error until it is needed, and it may then be made."""
    monkeypatch.setattr(files.door, "current", FULL)
    regions = []
    threads = [threading.Thread(target=lambda: regions.append(shelves[0].room(NAME)[0])) for _ in shelves]
    for i, thread in enumerate(threads):
        thread.start()
        while len(desk.asked) <= i:
            thread.join(0.01)
    desk.may_go_on.set()
    for thread in threads:
        thread.join()

    assert ["0", "1", "2"] == desk.asked
    assert [shelves[0].path] * 3 == [region.path for region in regions]
    assert ["0", "0.journal", "1", "1.journal", "lock"] == sorted(path.name for path in shelves[0].path.parent.iterdir())

    with pytest.raises(ModelbuildError, match=r"no pack of .* can be made"):
        shelves[2].room(NAME)
    monkeypatch.undo()
    assert 16 == shelves[2].room(NAME)[0].nbytes


def test_a_pack_that_cannot_be_read_is_not_made(desk, shelves, monkeypatch):
    """Too many files are open; later there are fewer."""
    desk.may_go_on.set()
    real = os.open

    def too_many(path: Path, flags: int, mode: int = 0o777) -> int:
        if path.name == "0" and not flags & os.O_RDWR:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", too_many)
    with pytest.raises(OSError, match="Too many open files"):
        shelves[0].room(NAME)
    monkeypatch.undo()
    region, write = shelves[0].room(NAME)
    write(0, memoryview(b"four float32: 16"))
    read = bytearray(16)
    region.read_into(memoryview(read), 0)
    assert b"four float32: 16" == read

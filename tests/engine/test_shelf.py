"""A pack that is being made: nobody waits for it idly."""

from __future__ import annotations

import threading

from modelbuild.cache import Cache
from modelbuild.checkpoint.header import lay_out
from modelbuild.engine.desk import Desk
from modelbuild.engine.shelf import Shelf
from modelbuild.errors import ModelbuildError, Problem

LAYOUT = lay_out([("model.norm.weight", "F32", (4,))])


class SlowDesk(Desk):
    """A desk that notes what is asked of it, takes its time with two packs, and has no room for the third."""

    def __init__(self, cache) -> None:
        super().__init__(cache)
        self.asked, self.may_go_on = [], threading.Event()

    def open(self, name, layout):
        self.asked.append(name)
        if name == "2":
            raise ModelbuildError(Problem("the disk is full"))
        assert self.may_go_on.wait(30)
        return super().open(name, layout)


def test_whoever_finds_a_pack_being_made_makes_the_next_meanwhile(tmp_path):
    """Each is made once; that there is no room for the third is nobody's error, as nobody needs it."""
    cache = Cache.open(tmp_path)
    desk = SlowDesk(cache)
    shelves = [Shelf(f"{i}", LAYOUT, desk) for i in range(3)]
    shelves[0].next, shelves[1].next = shelves[1:]
    regions = []
    threads = [threading.Thread(target=lambda: regions.append(shelves[0].room("model.norm.weight")[0])) for _ in shelves]
    try:
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
    finally:
        for shelf in shelves:
            shelf.close()
        desk.close(keep=False)
        cache.close()

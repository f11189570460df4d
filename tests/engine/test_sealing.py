"""What waits for the disk is done all together."""

from __future__ import annotations

from modelbuild.engine.sealing import Sealer
from modelbuild.errors import ModelbuildError, Problem


def test_all_files_are_synced_before_one_is_sealed_and_failures_come_back():
    """In the order they were filled; one that fails keeps no other from its disk but is sealed by nobody, and nothing is done twice."""
    done, left = [], []
    sealer = Sealer(lambda: left.append(True))

    def fail() -> None:
        raise ModelbuildError(Problem("the disk is full"))

    for number, sync in enumerate((lambda: done.append("sync 0"), fail, lambda: done.append("sync 2"))):
        sealer.submit(sync, lambda number=number: done.append(f"seal {number}"))
    sealer.submit(lambda: done.append("sync 3"), fail)

    assert ([], []) == (done, left)
    assert ["the disk is full"] * 2 == [error.problems[0].what for error in sealer.wait()]
    assert ["sync 0", "sync 2", "sync 3", "seal 0", "seal 2"] == done
    assert left
    assert () == sealer.wait()
    assert 5 == len(done)

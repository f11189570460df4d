"""What waits for the disk is done all together."""

from __future__ import annotations

from modelbuild.engine.sealing import Sealer
from modelbuild.errors import ModelbuildError, Problem


def test_files_are_brought_to_disk_when_they_are_waited_for_and_failures_come_back():
    """In the order they were filled; one that fails keeps no other from its disk, and nothing is done twice."""
    done, left = [], []
    sealer = Sealer(lambda: left.append(True))

    def fail() -> None:
        raise ModelbuildError(Problem("the disk is full"))

    for seal in (lambda: done.append(1), fail, lambda: done.append(2)):
        sealer.submit(seal)

    assert ([], []) == (done, left)
    assert ["the disk is full"] == [error.problems[0].what for error in sealer.wait()]
    assert ([1, 2], [True]) == (done, left)
    assert () == sealer.wait()
    assert [1, 2] == done

"""Full files brought to disk, all together when nothing is computed any more.

Their bytes have been on the way to disk since they were written, so that little is left to wait for.  A sync in between would
hold up whoever creates a file or makes one larger until the file system's journal is written.
"""

from __future__ import annotations

from collections.abc import Callable

from modelbuild.engine.crew import Task, work
from modelbuild.errors import ModelbuildError


class Sealer:
    """Does what waits for the disk.

    Args:
        leave: called by the thread that did it when there is nothing left to wait for.

    """

    def __init__(self, leave: Callable[[], None]) -> None:
        """Have nothing to do yet."""
        self._leave = leave
        self._due: list[Task] = []

    def submit(self, seal: Task) -> None:
        """Have something done when it is waited for; threads may call this at once."""
        self._due.append(seal)

    @property
    def due(self) -> int:
        """How many things are to be done."""
        return len(self._due)

    def wait(self) -> tuple[ModelbuildError, ...]:
        """Do all that was submitted since the last time, one after another, and return what failed.

        Raises:
            BaseException: whatever was raised that is no ModelbuildError.

        """
        due, self._due = self._due, []
        return work(due, 1, lambda: None, self._leave, keep_going=True)

"""Full files brought to disk, all together when nothing is computed any more.

Their bytes have been on the way to disk since they were written, so that little is left to wait for.  A sync in between would
hold up whoever creates a file or makes one larger until the file system's journal is written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
        self._due: list[tuple[Task, Task]] = []

    def submit(self, sync: Task, seal: Task) -> None:
        """Have a file synced and then sealed when it is waited for; threads may call this at once."""
        self._due.append((sync, seal))

    @property
    def due(self) -> int:
        """How many things are to be done."""
        return len(self._due)

    def wait(self) -> tuple[ModelbuildError, ...]:
        """Sync all that was submitted since the last time, then seal it, one after another, and return what failed.

        All are synced before the first is sealed: the file system's journal is then written once for all of them, where each
        seal would have made it write anew.

        Raises:
            BaseException: whatever was raised that is no ModelbuildError.

        """
        due, self._due = self._due, []
        synced: list[Task] = []

        def sync_first(sync: Task, seal: Task) -> None:
            sync()
            synced.append(seal)

        failed = work([partial(sync_first, *both) for both in due], 1, lambda: None, self._leave, keep_going=True)
        return (*failed, *work(synced, 1, lambda: None, self._leave, keep_going=True))

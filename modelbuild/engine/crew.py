"""Workers: threads that take tasks in order, and what becomes of errors and interrupts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from modelbuild.engine.workspace import Interrupted
from modelbuild.errors import ModelbuildError

Task = Callable[[], object]

_LOOK_UP = 0.1
"""Seconds between two looks at the keyboard."""

PATIENCE = 1.0
"""Seconds that workers have to stop in when the user wants to stop: a disk may keep one of them for longer."""


def work(
    tasks: Iterable[Task], jobs: int, stop: Callable[[], None], leave: Callable[[], None], *, keep_going: bool
) -> tuple[ModelbuildError, ...]:
    """Do all tasks on `jobs` threads, in order of start.

    Args:
        tasks: what to do.
        jobs: threads.
        stop: makes running tasks raise `Interrupted` soon.
        leave: called by each thread as it ends.
        keep_going: go on after a task failed.

    Returns:
        What failed.

    Raises:
        KeyboardInterrupt: after the workers have stopped, or `PATIENCE` has ended: see `at_work`.
        BaseException: whatever a task raised that is no ModelbuildError.

    """
    tasks = tuple(tasks)
    crew = _Crew(tasks, stop, leave, keep_going=keep_going)
    threads = [_Worker(target=crew.work, name=f"worker-{i}") for i in range(min(jobs, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while not thread.over.wait(_LOOK_UP):
                pass
    except BaseException:
        stop()
        _wait(threads)
        raise
    if crew.broken:
        raise crew.broken[0]
    return tuple(crew.failed.values())


def at_work() -> bool:
    """Tell whether there are workers, which use files: after an interrupt one may wait for a disk still."""
    return any(isinstance(thread, _Worker) and not thread.over.is_set() for thread in threading.enumerate())


def _wait(threads: Iterable[_Worker]) -> None:
    """Wait for workers to stop, for as long as the user has patience."""
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(KeyboardInterrupt):
        for thread in threads:
            thread.over.wait(max(0.0, end - time.monotonic()))


class _Worker(threading.Thread):
    """One of a crew; `over` when it has done its last.

    That is asked instead of `join`, which takes a thread for ended when Ctrl-C interrupts it (Python 3.11 and 3.12).
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        super().__init__(target=target, name=name)
        self.over = threading.Event()

    def run(self) -> None:
        """Work, and say that it is over."""
        try:
            super().run()
        finally:
            self.over.set()


class _Crew:
    """What workers share."""

    def __init__(self, tasks: Sequence[Task], stop: Callable[[], None], leave: Callable[[], None], *, keep_going: bool) -> None:
        self._waiting, self._lock = iter(tasks), threading.Lock()
        self._stop, self._leave, self._keep_going = stop, leave, keep_going
        self.failed: dict[str, ModelbuildError] = {}
        self.broken: list[BaseException] = []

    def work(self) -> None:
        """Take tasks until there are none, or one failed."""
        try:
            while not self.broken and (self._keep_going or not self.failed):
                with self._lock:
                    task = next(self._waiting, None)
                if task is None or not self._done(task):
                    return
        finally:
            self._leave()

    def _done(self, task: Task) -> bool:
        try:
            task()
        except Interrupted:
            return False
        except ModelbuildError as error:
            with self._lock:
                self.failed.setdefault(str(error), error)
            if not self._keep_going:
                self._stop()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.broken.append(error)
            self._stop()
        return True

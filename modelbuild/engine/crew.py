"""Workers: threads that take tasks in order, and what becomes of errors and interrupts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from modelbuild.engine.compute import Interrupted
from modelbuild.errors import ModelbuildError

Task = Callable[[], None]

_LOOK_UP = 0.1
"""Seconds between two looks at the keyboard."""


def work(tasks: Iterable[Task], jobs: int, stop: Callable[[], None], leave: Callable[[], None], *, keep_going: bool) -> tuple[ModelbuildError, ...]:
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
        KeyboardInterrupt: after the workers have stopped.
        BaseException: whatever a task raised that is no ModelbuildError.

    """
    waiting, lock = iter(tuple(tasks)), threading.Lock()
    failed: list[ModelbuildError] = []
    broken: list[BaseException] = []

    def worker() -> None:
        try:
            while not broken and (keep_going or not failed):
                with lock:
                    task = next(waiting, None)
                if task is None:
                    return
                try:
                    task()
                except Interrupted:
                    return
                except ModelbuildError as error:
                    with lock:
                        if str(error) not in map(str, failed):
                            failed.append(error)
                    if not keep_going:
                        stop()
                except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
                    broken.append(error)
                    stop()
        finally:
            leave()

    threads = [threading.Thread(target=worker, name=f"worker-{i}") for i in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_UP)
    except BaseException:
        stop()
        for thread in threads:
            thread.join()
        raise
    if broken:
        raise broken[0]
    return tuple(failed)

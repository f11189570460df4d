"""Full files brought to disk by a thread of their own, while others are computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from modelbuild.errors import ModelbuildError


class Sealer:
    """Does what waits for the disk.

    Args:
        leave: called by the thread when there is nothing left to wait for.

    """

    def __init__(self, leave: Callable[[], None]) -> None:
        """Start no thread yet."""
        self._leave = leave
        self._thread = ThreadPoolExecutor(1, "sealer")
        self._begun: list[Future[object]] = []
        self._all: list[Future[object]] = []

    def submit(self, seal: Callable[[], object]) -> None:
        """Have something done soon; threads may call this at once."""
        future = self._thread.submit(seal)
        self._begun.append(future)
        self._all.append(future)

    def wait(self) -> tuple[ModelbuildError, ...]:
        """Wait for all that was submitted since the last time, and return what failed.

        Raises:
            BaseException: whatever was raised that is no ModelbuildError.

        """
        begun, self._begun = self._begun, []
        errors = [error for future in begun if (error := future.exception())]
        self._thread.submit(self._leave).result()
        for error in errors:
            if not isinstance(error, ModelbuildError):
                raise error
        return tuple(error for error in errors if isinstance(error, ModelbuildError))

    def close(self, seconds: float | None = None) -> bool:
        """Finish what is being done, and forget the rest; return False where it is not done after so many seconds."""
        self._thread.shutdown(wait=seconds is None, cancel_futures=True)
        # What was cancelled never counts as done: nobody is left who would say so.
        return not wait([future for future in self._all if not future.cancelled()], seconds).not_done

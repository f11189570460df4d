"""A build shown in a notebook: one output that is rewritten while the build goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from modelbuild.events import Event
from modelbuild.report.page import Page
from modelbuild.report.plain import Plain

_EVERY = 0.5
"""Seconds between two times that the output is rewritten for a count alone."""


class Notebook(Plain):
    """Shows the lines of a build so far, and under them how far it is.

    Args:
        show: puts a text in place of the one before.
        clock: seconds.

    """

    def __init__(self, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing shown."""
        super().__init__(Page(None), clock)
        self._show, self._said, self._shown = show, list[str](), 0.0

    def __call__(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            self.count(event)
            new = self.lines(event)
            self._said += new
            now = self._clock()
            if new or now >= self._shown + _EVERY or self._is_over():
                self._shown = now
                self._show("\n".join([*self._said, *self._under()]))

    def progress(self) -> list[str]:
        """Say nothing of it among the lines that stay."""
        return []

    def _under(self) -> list[str]:
        """Return how far the build is; once it is done that is no news."""
        return [] if self._is_over() else [self.far()]

    def _is_over(self) -> bool:
        return self.board.done >= self.board.total


def notebook() -> Plain:
    """Return what shows a build in a notebook, to be passed as `report`; elsewhere it prints lines.

    One build, one reporter: `modelbuild.build("Modelfile.toml", report=modelbuild.notebook())`.
    """
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return Plain(Page(sys.stdout), time.monotonic)
    if get_ipython() is None:
        return Plain(Page(sys.stdout), time.monotonic)
    handle = display({"text/plain": ""}, raw=True, display_id=True)
    return Notebook(lambda text: handle.update({"text/plain": text}, raw=True))

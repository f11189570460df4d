"""A build shown live on a terminal: a few lines at its lower end, drawn again ten times a second, which go away in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from msgspec.structs import replace

from modelbuild.events import Event, Fetching, Published, Settled, Started, Uploading
from modelbuild.report.page import Page, uncoloured
from modelbuild.report.plain import Plain

Size = Callable[[], tuple[int, int]]
"""(columns, rows) of the terminal as it is now."""

_EVERY = 0.1
"""Seconds between two frames."""
_MOST = 12
"""Lines at most."""
_BELOW = 2
"""Rows of a terminal that stay free."""

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""What comes between is shown at once, by terminals that know it; to others it is nothing."""


class Live(Plain):
    """Shows how far a build is, and what is said besides above that.

    Events only count.  A thread of its own draws, each frame in one write that overwrites the one before line by line,
    so that nothing is ever blank in between.  The cursor is not hidden: who is killed leaves the terminal as it was.
    Who is stopped, and goes on, begins below what the shell said meanwhile; in the background nothing is drawn.
    """

    def __init__(self, page: Page, clock: Callable[[], float], size: Size) -> None:
        """Begin with nothing drawn."""
        super().__init__(page, clock)
        self._size = size
        self._drawn: list[int] = []
        """Columns that each line of the frame takes which is on the terminal."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._mask: set[int] | None = None

    def __enter__(self) -> Self:
        """Hold back the signal that comes when this process goes on after it was stopped: whoever draws looks for it first."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the frame away."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._write(self._gone())
            self._drawn = []
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def count(self, event: Event) -> None:
        """Take note of how far the build is, and begin to draw when work begins."""
        super().count(event)
        if isinstance(event, Started | Fetching | Uploading) and self._thread is None:
            self._thread = threading.Thread(target=self._draw_on, name="console", daemon=True)
            self._thread.start()

    def lines(self, event: Event) -> list[str]:
        """Say what the frame does not show."""
        return [] if isinstance(event, Started | Settled | Published | Uploading) else super().lines(event)

    def progress(self) -> list[str]:
        """Say nothing: the frame does."""
        return []

    def say(self, line: str) -> None:
        """Print a line above the frame."""
        if not self._drawn:
            super().say(line)
            return
        gone, text = self._gone(), self.painted(line)
        self._drawn = []
        self._write(gone + text + "\n")
        self.draw()

    def draw(self) -> None:
        """Draw a frame over the one before."""
        from rich.cells import cell_len

        from modelbuild.report.frame import frame

        if not _in_front(self.page.stream):
            return
        columns, rows = self._size()
        look = self.page.look
        lines = frame(self.board, replace(look, width=columns), self._clock(), max(0, min(_MOST, rows - _BELOW)))
        if not lines:
            return
        lines = [self.page.safe(line) for line in lines]
        up = self._up()
        self._drawn = [cell_len(uncoloured(line)) for line in lines]
        self._write(up + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J\r")  # where keys are echoed, such as ^C, nothing may wrap

    def _draw_on(self) -> None:
        while not self._ended.wait(_EVERY):
            with self._lock:
                if not self._ended.is_set():
                    self.draw()

    def _up(self) -> str:
        """Return what brings the cursor to the start of the frame, whose lines wrap where the terminal got narrower."""
        from modelbuild.report.frame import rows_of

        if signal.SIGCONT in signal.sigpending():
            signal.sigwait({signal.SIGCONT})
            self._drawn = []
        above = rows_of(self._drawn, self._size()[0]) - 1
        return "\r" + (f"\x1b[{above}A" if above > 0 else "")

    def _gone(self) -> str:
        up = self._up()
        return f"{up}\x1b[J" if self._drawn else ""

    def _write(self, text: str) -> None:
        if text and self.page.stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self.page.stream.write(_BEGIN + text + _END)
                self.page.stream.flush()


def _in_front(stream: TextIO | None) -> bool:
    """Tell whether this process may draw on its terminal: a shell may have put it into the background."""
    try:
        return stream is not None and os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True  # no terminal: somebody asked for it all the same

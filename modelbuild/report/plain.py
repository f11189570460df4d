"""A build told in lines: for logs and for whatever else is no terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from modelbuild.events import Evaluated, Event, Exporting, Fetched, Hashed, Kept, Merged, Noted, Published, Started, Uploading, Warned
from modelbuild.names import human_bytes
from modelbuild.report.board import Board
from modelbuild.report.page import Page
from modelbuild.report.problems import fitted
from modelbuild.report.words import counted, gathered, listed, seconds

EVERY = 10.0
"""Seconds between two lines that say how far it is, in the first minute; later they are a sixth of what has passed, up to a minute."""
_SELDOM = 60.0


class Plain:
    """Shows events as lines.

    Args:
        page: where.
        clock: seconds.
        quiet: show warnings alone.
        verbose: show every action.
        silent: show nothing of how far it is, and what it writes.

    """

    def __init__(self, page: Page, clock: Callable[[], float], *, quiet: bool = False, verbose: bool = False, silent: bool = False) -> None:
        """Begin with nothing shown."""
        self.page, self.quiet, self.verbose, self.silent = page, quiet, verbose, silent
        self.board = Board(clock)
        self._clock, self._lock = clock, threading.RLock()
        self._next = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; a line is never unfinished."""

    def __call__(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            self.count(event)
            for line in self.lines(event):
                self.say(line)

    def say(self, line: str) -> None:
        """Print a line."""
        self.page.say(fitted(line, self.page.look))

    def painted(self, line: str) -> str:
        """Return a line as it is printed."""
        return self.page.safe(fitted(line, self.page.look))

    def count(self, event: Event) -> None:
        """Take note of how far the build is."""
        self.board.take(event)
        if isinstance(event, Started):
            self._next = self._clock() + EVERY

    def lines(self, event: Event) -> list[str]:
        """Return what is to be said of an event."""
        match event:
            case Warned():
                return [f"warning: {event.text}"]
            case Noted() if not self.quiet:
                return [f"note: {event.text}"]
            case Kept() if not self.quiet:
                return [f"kept {counted(event.tensors, 'finished tensor')} ({human_bytes(event.nbytes)}) for the next build"]
        return [] if self.quiet or self.silent else [*self._news(event), *self.progress()]

    def _news(self, event: Event) -> list[str]:
        match event:
            case Started() if event.actions > event.reused:
                run, actions = event.actions - event.reused, counted(event.actions, "action")
                return [f"{event.doing} {listed(gathered(event.targets))}: up to {run} of {actions} to run, {human_bytes(event.nbytes)}"]
            case Fetched() | Uploading():
                return [_carried(event)]
            case Exporting():
                return [f"exporting {event.of} as {event.name} ({event.form})"]
            case Published():
                return [f"wrote {event.path} ({counted(event.files, 'file')})"]
            case Merged() | Hashed() | Evaluated() if self.verbose or isinstance(event, Evaluated):
                return [_done(event)]
        return []

    def progress(self) -> list[str]:
        """Return how far the build is, if that has not been said for a while."""
        now, board = self._clock(), self.board
        if not board.total or board.sealing or now < self._next:
            return []
        self._next = now + max(EVERY, min(_SELDOM, (now - board.since) / 6))
        return [self.far()]

    def far(self) -> str:
        """Return the line that says how far the build is."""
        board = self.board
        rate = board.rate()
        left = board.left(rate)
        more = f", {human_bytes(round(rate))}/s, about {seconds(left)} left" if left is not None else ""
        done = f"{100 * board.done // board.total}%, {human_bytes(board.done)} of {human_bytes(board.total)}"
        return f"{done}: {board.merged} merged, {board.reused} reused{more}"


def _carried(event: Fetched | Uploading) -> str:
    if isinstance(event, Fetched):
        return f"fetched {event.source}::{event.file} ({human_bytes(event.nbytes)})"
    return f"sending {counted(event.files, 'file')} ({human_bytes(event.nbytes)}) to {event.repo}"


def _done(event: Merged | Hashed | Evaluated) -> str:
    if isinstance(event, Evaluated):
        return f"ran {event.check} on {event.model} ({seconds(event.seconds)})"
    if isinstance(event, Hashed):
        return f"hashed {event.source}::{event.tensor} ({human_bytes(event.nbytes)})"
    return f"merged {event.node}::{event.tensor} ({human_bytes(event.nbytes)} in {seconds(event.seconds)}): {event.reason}"

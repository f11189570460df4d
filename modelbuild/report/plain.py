"""A build told in lines: for logs and for whatever else is no terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from modelbuild.events import Evaluated, Event, Fetched, Hashed, Kept, Merged, Noted, Published, Settled, Started, Warned
from modelbuild.names import human_bytes
from modelbuild.report.page import Page
from modelbuild.report.problems import painted
from modelbuild.report.words import counted, listed, seconds

EVERY = 10.0
"""Seconds between two lines that say how far it is."""


class Plain:
    """Shows events as lines.

    Args:
        page: where.
        clock: seconds.
        quiet: show warnings alone.
        verbose: show every action.

    """

    def __init__(self, page: Page, clock: Callable[[], float], *, quiet: bool = False, verbose: bool = False) -> None:
        """Begin with nothing shown."""
        self.page, self.quiet, self.verbose = page, quiet, verbose
        self.tensors = self.settled = self.merged = self.reused = self.nbytes = 0
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
        self.page.say(painted(line, self.page.look))

    def count(self, event: Event) -> None:
        """Take note of how far the build is."""
        match event:
            case Started():
                self.tensors, self.reused = event.tensors, event.reused
                self._next = self._clock() + EVERY
            case Merged():
                self.merged += 1
                self.nbytes += event.nbytes
            case Settled():
                self.settled += 1

    def lines(self, event: Event) -> list[str]:  # noqa: C901, PLR0911 - one for each kind
        """Return what is to be said of an event."""
        match event:
            case Warned():
                return [f"warning: {event.text}"]
            case _ if self.quiet:
                return []
            case Noted():
                return [f"note: {event.text}"]
            case Started() if event.actions > event.reused:
                run, actions = event.actions - event.reused, counted(event.actions, "action")
                return [f"building {listed(event.targets)}: up to {run} of {actions} to run, {human_bytes(event.nbytes)}"]
            case Fetched():
                return [f"fetched {event.source}::{event.file} ({human_bytes(event.nbytes)})"]
            case Evaluated():
                return [f"ran {event.check} on {event.model} ({seconds(event.seconds)})"]
            case Published():
                return [f"wrote {event.path} ({counted(event.files, 'file')})"]
            case Kept():
                return [f"kept {counted(event.tensors, 'finished tensor')} ({human_bytes(event.nbytes)}) for the next build"]
            case Merged() if self.verbose:
                return [f"merged {event.node}::{event.tensor} ({human_bytes(event.nbytes)} in {seconds(event.seconds)}): {event.reason}"]
            case Hashed() if self.verbose:
                return [f"hashed {event.source}::{event.tensor} ({human_bytes(event.nbytes)})"]
            case Settled():
                return self.progress()
        return []

    def progress(self) -> list[str]:
        """Return how far the build is, if that has not been said for a while."""
        if self._clock() < self._next:
            return []
        self._next = self._clock() + EVERY
        return [f"{self.settled} of {counted(self.tensors, 'tensor')}: {self.merged} merged, {human_bytes(self.nbytes)}"]

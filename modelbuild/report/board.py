"""How far a build is: what its events add up to, whoever shows it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from modelbuild.events import (
    Advanced,
    Began,
    Copied,
    Event,
    Fetched,
    Fetching,
    Hashed,
    Merged,
    Published,
    Sealing,
    Settled,
    Spared,
    Started,
    Uploading,
)

WINDOW = 10.0
"""Seconds over which the rate is taken."""

_SOON = 0.5
"""Seconds of work before there is a rate to speak of."""


class Flight(Struct):
    """What one worker does, or did last.

    Args:
        worker: its thread.
        began: with what.
        since: when, in seconds.
        done: bytes of it that are written.
        ended: whether it is through with it.

    """

    worker: int
    began: Began
    since: float
    done: int = 0
    ended: bool = False


class Board:
    """Counts of a build that is running.

    Args:
        clock: seconds.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin before the build does."""
        self._clock = clock
        self.started: Started | None = None
        self.fetching: Fetching | None = None
        self.sending: Uploading | None = None
        self.arrived = self.sealing = 0
        self.settled = self.merged = self.reused = self.linked = self.outputs = 0
        self.flights: list[Flight] = []
        """One for each worker, each at its place as long as it works."""
        self.since = 0.0
        self._done = self._spared = 0
        self._seen: deque[tuple[float, int]] = deque()

    @property
    def total(self) -> int:
        """Bytes that are produced or copied if everything runs that may."""
        return self.started.nbytes + self.started.copied if self.started else 0

    @property
    def done(self) -> int:
        """Bytes of them that are written, or need not be."""
        if self.sealing or self.outputs:
            return self.total
        return min(self.total, self._done + self._spared + sum(flight.done for flight in self.flights if not flight.ended))

    def take(self, event: Event) -> None:
        """Count an event, which is told in the thread of the worker that it is of."""
        match event:
            case Started():
                self.started, self.reused, self.since, self.fetching = event, event.reused, self._clock(), None
            case Advanced() if self.fetching:
                self.arrived = event.nbytes
            case Fetching() | Fetched() | Uploading():
                self._carry(event)
            case Spared():
                self.reused += 1
                self._spared += event.nbytes
            case Settled():
                self.settled += 1
            case Sealing():
                self.sealing = event.files
            case Published():
                self.outputs += 1
                self.linked += event.linked
            case Began() | Advanced() | Merged() | Copied() | Hashed():
                self._work(event)

    def _carry(self, event: Fetching | Fetched | Uploading) -> None:
        match event:
            case Fetching():
                self.fetching, self.arrived, self.since = event, 0, self._clock()
            case Fetched():
                self.fetching = None
            case Uploading():
                self.sending, self.since = event, self._clock()

    def _work(self, event: Began | Advanced | Merged | Copied | Hashed) -> None:
        flight = self._flight()
        match event:
            case Began():
                self._begin(event, flight)
            case Advanced() if flight:
                flight.done = event.nbytes
            case Merged() | Copied():
                self.merged += isinstance(event, Merged)
                self._done += event.nbytes
        if flight and not isinstance(event, Began | Advanced):
            flight.done, flight.ended = 0, True

    def rate(self) -> float:
        """Return the bytes per second that were produced in the last seconds, or 0 where there is nothing to tell by."""
        now, done = self._clock(), self.done - self._spared
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()
        start, before = self._seen[0] if now - self._seen[0][0] >= WINDOW else (self.since, 0)
        return (done - before) / (now - start) if now - start >= _SOON else 0.0

    def left(self, rate: float) -> float | None:
        """Return the seconds that are left at such a rate, or None where that is not known."""
        return (self.total - self.done) / rate if rate > 0 else None

    def _begin(self, event: Began, flight: Flight | None) -> None:
        """Show what a worker does at its place, or at that of one who is gone: there are as many places as workers."""
        if flight is None and self.started and len(self.flights) >= self.started.jobs:
            flight = next((one for one in self.flights if one.ended), None)
        if flight is None:
            flight = Flight(0, event, 0.0)
            self.flights.append(flight)
        flight.worker, flight.began, flight.since, flight.done, flight.ended = threading.get_ident(), event, self._clock(), 0, False

    def _flight(self) -> Flight | None:
        worker = threading.get_ident()
        return next((flight for flight in self.flights if flight.worker == worker), None)

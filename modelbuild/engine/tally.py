"""What a build did so far: actions, bytes, and the time that workers took for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelbuild.engine.workspace import Write
from modelbuild.events import Advanced, Report
from modelbuild.plan import Action

LARGE = 1 << 26
"""Bytes of a tensor from which on it is told how far it is."""


@dataclass(slots=True)
class Tally:
    """Counts, which threads may add to at once.

    Args:
        run: actions.
        read: bytes, of sources and packs.
        written: bytes, to packs and outputs.
        linked: bytes, instead of written.
        spent: by method, or "reading" and "copying": bytes that went in and came out, and the seconds of workers that took.

    """

    run: int = 0
    read: int = 0
    written: int = 0
    linked: int = 0
    spent: dict[str, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, run: int = 0, read: int = 0, written: int = 0, linked: int = 0) -> None:
        """Count what was done."""
        with self._lock:
            self.run += run
            self.read += read
            self.written += written
            self.linked += linked

    def spend(self, kind: str, nbytes: int, seconds: float) -> None:
        """Note what a worker did, and for how long."""
        with self._lock:
            before = self.spent.get(kind, (0, 0.0))
            self.spent[kind] = before[0] + nbytes, before[1] + seconds


def cost_of(action: Action) -> int:
    """Return the bytes that go in and come out of an action, by which its time is foretold."""
    return action.nbytes + sum(need.nbytes for need in action.needs)


def costs_of(actions: frozenset[Action]) -> Mapping[str, int]:
    """Return those bytes by method."""
    costs: dict[str, int] = {}
    for action in actions:
        costs[action.method.name] = costs.get(action.method.name, 0) + cost_of(action)
    return costs


def telling(action: Action, write: Write, report: Report) -> Write:
    """Tell how far a tensor is as it is written, if it is large."""
    if action.nbytes < LARGE:
        return write

    def written(start: int, data: memoryview) -> None:
        write(start, data)
        report(Advanced(start + len(data)))

    return written

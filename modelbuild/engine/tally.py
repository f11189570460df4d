"""What a build did so far: actions, bytes, and the time that workers took for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from modelbuild.engine.regions import Write
from modelbuild.events import Advanced, Report
from modelbuild.plan import Action

FIRST = 4
"""How many of a kind may be slow for another reason than their bytes."""
LARGE = 1 << 26
"""Bytes of a tensor from which on it is told how far it is."""


class Tally(Struct):
    """Counts, which threads may add to at once.

    Args:
        run: actions.
        read: bytes, of sources and packs.
        written: bytes, to packs and outputs.
        linked: bytes, instead of written.

    """

    run: int = 0
    read: int = 0
    written: int = 0
    linked: int = 0
    _took: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """By method, or "reading" and "copying": bytes and seconds of the first few, and of all others together."""
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
            took = self._took.setdefault(kind, [])
            if len(took) > FIRST:
                nbytes, seconds = nbytes + took[-1][0], seconds + took[-1][1]
                took.pop()
            took.append((nbytes, seconds))

    def spent(self) -> dict[str, tuple[int, float]]:
        """Return by method, or "reading" and "copying", bytes that went in and came out, and the seconds of workers that took.

        The first few may have waited for kernels to be loaded: they count as if they had been as fast as the others.
        """
        with self._lock:
            return {kind: _together(took) for kind, took in self._took.items()}


def _together(took: Sequence[tuple[int, float]]) -> tuple[int, float]:
    (nbytes, seconds), first = took[-1], took[:-1]
    usual = seconds / nbytes if len(took) > FIRST and nbytes else None
    return (
        nbytes + sum(count for count, _ in first),
        seconds + sum(span if usual is None else min(span, count * usual) for count, span in first),
    )


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

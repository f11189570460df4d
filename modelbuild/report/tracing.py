"""A build as a trace: which thread did what, when and for how long, in the format of Chrome's trace viewer and of Perfetto.

Google, "Trace Event Format": a complete event (`"ph": "X"`) has its start and its duration in microseconds.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from modelbuild.events import Event, Hashed, Merged, Report, Took

_PROCESS = 1
_LEAST = 0.0005
"""Seconds below which a step that nothing was done in is left out."""


class Trace:
    """Hands events on, and notes those that say how long something took; any thread may call it.

    Args:
        report: told of every event.
        clock: seconds.

    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start the clock."""
        self._report, self._clock = report, clock
        self._started = clock()
        self._events: list[dict[str, Any]] = []
        self._threads: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take note of an event, and hand it on."""
        match event:
            case Merged():
                self._note("merge", f"{event.node}::{event.tensor}", event.seconds, bytes=event.nbytes, why=event.reason)
            case Hashed():
                self._note("hash", f"{event.source}::{event.tensor}", event.seconds, bytes=event.nbytes)
            case Took() if event.nbytes:
                self._note(event.step, f"{event.step} {event.name}", event.seconds, bytes=event.nbytes)
            case Took() if event.name or event.seconds >= _LEAST:
                self._note(event.step, f"{event.step} {event.name}".rstrip(), event.seconds)
        self._report(event)

    def _note(self, step: str, name: str, seconds: float, **facts: str | int) -> None:
        end, thread = self._clock() - self._started, threading.current_thread()
        called = "main" if thread is threading.main_thread() else thread.name
        start = max(0.0, end - seconds)
        with self._lock:
            number = self._threads.setdefault(called, len(self._threads) + 1)
            self._events.append(
                {
                    "name": name,
                    "cat": step,
                    "ph": "X",
                    "ts": round(start * 1e6, 1),
                    "dur": round(seconds * 1e6, 1),
                    "pid": _PROCESS,
                    "tid": number,
                    **({"args": facts} if facts else {}),
                }
            )

    def document(self) -> str:
        """Return the trace so far: a whole JSON document, whenever it is asked for."""
        with self._lock:
            events, threads = [*self._events], dict(self._threads)
        names: list[dict[str, Any]] = [{"name": "process_name", "ph": "M", "pid": _PROCESS, "args": {"name": "modelbuild"}}]
        names += [
            {"name": "thread_name", "ph": "M", "pid": _PROCESS, "tid": number, "args": {"name": name}} for name, number in threads.items()
        ]
        lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in [*names, *events])
        return f'{{"displayTimeUnit":"ms","traceEvents":[\n{lines}\n]}}'

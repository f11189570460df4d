"""How long a build takes over each action."""

from __future__ import annotations

from modelbuild.events import Event, Merged, Report


class Clock:
    """Hands events on, and notes the seconds of every action that ran, by (node, tensor)."""

    def __init__(self, report: Report) -> None:
        """Begin with nothing noted."""
        self._report = report
        self.seconds: dict[tuple[str, str], float] = {}

    def __call__(self, event: Event) -> None:
        """Take note of an event, and hand it on."""
        if isinstance(event, Merged):
            self.seconds[event.node, event.tensor] = event.seconds
        self._report(event)

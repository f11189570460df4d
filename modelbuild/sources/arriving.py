"""How much of a file has come from a hub, told in place of the bars that its client would draw across ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Told = Callable[[int], None]
"""Told of the bytes of a file that are here."""


def bar(told: Told) -> Any:
    """Return a class of progress bar that draws nothing, for the hub's client to make one of."""
    import tqdm

    class Arriving(tqdm.tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})
            self.arrived = int(options.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.arrived += int(n or 0)
            told(self.arrived)
            return None

    return Arriving

"""How results and events look.  Nothing here reads the environment: whoever prints says how wide the page is and whether it has colour."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

if TYPE_CHECKING:
    from modelbuild.events import Event
    from modelbuild.report.page import Page

Mode = Literal["quiet", "lines", "verbose", "live"]


class Reporter(Protocol):
    """Shows events while it is entered; any thread may call it."""

    def __call__(self, event: Event) -> None:
        """Show one event."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave nothing unfinished on the page."""


def reporter(mode: Mode, page: Page, clock: Callable[[], float] = time.monotonic) -> Reporter:
    """Return what shows a build on `page`.

    Args:
        mode: quiet (warnings alone), lines (for logs), verbose (a line for every action) or live (a progress bar that goes away).
        page: where.
        clock: seconds.

    """
    if mode == "live":
        from modelbuild.report.fancy import Fancy

        return Fancy(page, clock)
    from modelbuild.report.plain import Plain

    return Plain(page, clock, quiet=mode == "quiet", verbose=mode == "verbose")

"""How results and events look.  Nothing here reads the environment: whoever prints says how wide the page is and whether it has colour."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

if TYPE_CHECKING:
    from modelbuild.events import Event
    from modelbuild.report.page import Page

Mode = Literal["quiet", "none", "lines", "verbose", "live"]


class Reporter(Protocol):
    """Shows events while it is entered; any thread may call it."""

    def __call__(self, event: Event) -> None:
        """Show one event."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave nothing unfinished on the page."""


class _Late:
    """Shows events by what is made when the first one comes: a build with nothing to do tells none, and imports nothing that shows them."""

    def __init__(self, make: Callable[[], Reporter]) -> None:
        self._make, self._shown = make, ExitStack()
        self._made: Reporter | None = None

    def __call__(self, event: Event) -> None:
        if self._made is None:  # the first event comes before there are threads
            self._made = self._shown.enter_context(self._make())
        self._made(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._shown.__exit__(kind, error, trace)


def reporter(
    mode: Mode, page: Page, clock: Callable[[], float] = time.monotonic, size: Callable[[], tuple[int, int]] | None = None
) -> Reporter:
    """Return what shows a build on `page`.

    Args:
        mode: quiet (warnings alone), none (notes and warnings), lines (for logs), verbose (a line for every action) or live (a
            few lines that are drawn again and again, and go away in the end).
        page: where.
        clock: seconds.
        size: tells the columns and rows of the terminal as it is now; None for those of the page.

    """

    def make() -> Reporter:
        if mode == "live":
            from modelbuild.report.live import Live

            return Live(page, clock, size or (lambda: (page.look.width or 80, 24)))
        from modelbuild.report.plain import Plain

        return Plain(page, clock, quiet=mode == "quiet", verbose=mode == "verbose", silent=mode == "none")

    return _Late(make)

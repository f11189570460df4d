"""A build shown live on a terminal: one bar, which goes away when the build ends."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from modelbuild.events import Event, Hashed, Merged, Published, Settled, Started
from modelbuild.names import human_bytes
from modelbuild.report.page import Page
from modelbuild.report.plain import Plain
from modelbuild.report.problems import painted
from modelbuild.report.words import gathered, listed

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Fancy(Plain):
    """Shows a bar over the tensors of the targets, and what is said besides above it; imports rich when there is work."""

    def __init__(self, page: Page, clock: Callable[[], float]) -> None:
        """Begin without a bar."""
        super().__init__(page, clock)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def count(self, event: Event) -> None:
        """Move the bar."""
        super().count(event)
        if isinstance(event, Started):
            self._bar, self._task = self._begin(event)
        elif isinstance(event, Merged | Settled | Hashed) and self._bar is not None and self._task is not None:
            doing = "reading" if isinstance(event, Hashed) and not self.merged else "merging"
            done = f"{self.merged} merged, {self.reused} reused, {human_bytes(self.nbytes)}"
            self._bar.update(self._task, completed=self.settled, description=doing, done=done)

    def lines(self, event: Event) -> list[str]:
        """Say what the bar does not show."""
        return [] if isinstance(event, Started | Settled | Published) else super().lines(event)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            super().say(line)
            return
        from rich.text import Text

        self._bar.console.print(Text.from_ansi(painted(self.page.safe(line), self.page.look)), soft_wrap=True)

    def _begin(self, event: Started) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        # An empty environment: what it says was read by the command line, and stands in the page.
        console = Console(
            file=self.page.stream,
            force_terminal=True,
            no_color=not self.page.look.colour,
            width=self.page.look.width or None,
            highlight=False,
            legacy_windows=False,
            _environ={},
        )
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[done]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        task = bar.add_task(
            self.page.safe(f"building {listed(gathered(event.targets))}"), total=event.tensors, done=f"{event.reused} reused"
        )
        bar.start()
        return bar, task

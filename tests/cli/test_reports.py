"""How a build is told while it runs, and in its last line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal

import pytest

from modelbuild.events import Event, Hashed, Merged, Noted, Published, Settled, Started, Warned
from modelbuild.report import Mode, reporter
from modelbuild.report.page import Look, Page
from modelbuild.report.summary import forecast, summary
from modelbuild.report.words import ago, counted, listed, seconds
from modelbuild.usecases.outcome import Actions, BuiltTarget, Bytes, Outcome

PLAIN = Look()
EVENTS = (
    Noted("`base` is the base, not an input"),
    Warned("`talk` has no weights"),
    Started(("release", "deep"), 290, 201, 300, 3_100_000_000),
    Hashed("base", "a.weight", 900),
    Merged("blend", "a.weight", 1000, 0.031, "not built before"),
    Settled("release", "a.weight", 1000),
    Settled("release", "b.weight", 1000),
    Published("release", "out/release", 5),
)


def told(mode: Mode, events: tuple[Event, ...] = EVENTS, look: Look = PLAIN, clock: Iterator[float] | None = None) -> str:
    stream = io.StringIO()
    with reporter(mode, Page(stream, look), (lambda: next(clock)) if clock else (lambda: 0.0)) as report:
        for event in events:
            report(event)
    return stream.getvalue()


def test_lines():
    expected = """\
note: `base` is the base, not an input
warning: `talk` has no weights
building release and deep: up to 89 of 290 actions to run, 3.1 GB
wrote out/release (5 files)
"""
    assert expected == told("lines")


def test_lines_say_how_far_it_is_every_ten_seconds():
    """The clock is read at the start and at each tensor; once more where a line is due."""
    clock = iter((0.0, 9.0, 11.0, 11.0))

    assert "2 of 300 tensors: 1 merged, 1.0 kB\n" in told("lines", clock=clock)


def test_verbose_has_a_line_for_every_action():
    assert "hashed base::a.weight (900 B)\nmerged blend::a.weight (1.0 kB in 0.03s): not built before\n" in told("verbose")


def test_quiet_says_warnings_alone():
    assert "warning: `talk` has no weights\n" == told("quiet")


def test_a_build_that_runs_nothing_is_not_announced():
    assert "" == told("lines", (Started(("release",), 290, 290, 290, 0),))


def test_live_shows_a_bar_takes_it_away_and_keeps_what_is_said():
    text = told("live", (*EVENTS, Warned("late")), Look(100, colour=True))

    assert "1 merged, 201 reused, 1.0 kB" in text
    assert "\x1b[36mnote:\x1b[0m `base` is the base, not an input\n" in text
    assert "late\n" in text
    assert text.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is back, the bar is gone


def test_live_without_colour_uses_none():
    assert "\x1b[3" not in told("live", EVENTS, Look(100))


def test_live_without_work_shows_nothing():
    assert "" == told("live", ())


NOTHING = Bytes()


def outcome(
    *states: Literal["built", "fresh", "failed", "stale"], run: int = 0, reused: int = 290, count: Bytes = NOTHING, exact: bool = True
) -> Outcome:
    names = ("release", "deep", "talk")
    targets = tuple(BuiltTarget(name, f"out/{name}", state, 290) for name, state in zip(names, states, strict=False))
    return Outcome(targets, Actions(run + reused, run, reused), 0, count, 41.2, 0, exact=exact)


WRITTEN = Bytes(1_200_000_000, 3_100_000_000, 0)


@pytest.mark.parametrize(
    ("done", "line"),
    [
        (outcome("built", run=89, reused=201, count=WRITTEN), "built release in 41.2s: 290 tensors, 201 reused, 89 merged, 3.1 GB written"),
        (
            outcome("built", "built", "fresh", run=89, reused=201, count=WRITTEN),
            "built release and deep in 41.2s: 290 tensors, 201 reused, 89 merged, 3.1 GB written; talk is fresh",
        ),
        (outcome("fresh"), "release is fresh: 290 tensors, nothing to do (41.2s)"),
        (outcome("fresh", "fresh", "fresh"), "release, deep and talk are fresh: 870 tensors, nothing to do (41.2s)"),
        (outcome("fresh", run=3, reused=287), "release came out unchanged in 41.2s: 290 tensors, 287 reused, 3 merged, 0 B written"),
        (outcome("failed", run=3, reused=0, count=WRITTEN), "release failed after 41.2s: 0 reused, 3 merged, 3.1 GB written"),
        (
            outcome("failed", "built", run=3, reused=287, count=WRITTEN),
            "release failed; built deep in 41.2s: 290 tensors, 287 reused, 3 merged, 3.1 GB written",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_last_line_of_a_build(done: Outcome, line: str):
    assert line == summary(done)


def test_the_line_of_a_forecast():
    count = Bytes(1_200_000_000, 300_000_000, 0)

    assert "would run 12 of 290 actions, read 1.2 GB and write 300.0 MB" == forecast(outcome("stale", run=12, reused=278, count=count))
    expected = "would run at most 12 of 290 actions, read at most 1.2 GB and write at most 300.0 MB"
    assert expected == forecast(outcome("stale", run=12, reused=278, count=count, exact=False))
    assert "release is fresh: 290 tensors, nothing to do" == forecast(outcome("fresh"))


def test_words():
    assert ["", "a", "a and b", "a, b and c"] == [listed("abc"[:n]) for n in range(4)]
    assert ["0 files", "1 file", "2 files"] == [counted(n, "file") for n in range(3)]
    assert ["0.05s", "41.2s", "2m 03s", "1h 05m"] == [seconds(span) for span in (0.049, 41.23, 123.4, 3900)]
    assert ["just now", "1 minute ago", "2 hours ago", "3 days ago"] == [ago(span) for span in (59, 60, 7300, 3 * 86400)]

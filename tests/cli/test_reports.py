"""How a build is told while it runs, and in its last line."""

from __future__ import annotations

import io
from typing import Literal

import pytest
from msgspec.structs import replace

from modelbuild.events import Event, Hashed, Merged, Noted, Published, Settled, Started, Warned
from modelbuild.report import Mode, reporter
from modelbuild.report.page import Look, Page
from modelbuild.report.summary import forecast, summary
from modelbuild.report.words import ago, counted, listed, seconds
from modelbuild.usecases.outcome import Actions, BuiltTarget, Bytes, Outcome, Saved

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


def told(mode: Mode, events: tuple[Event, ...] = EVENTS, look: Look = PLAIN) -> str:
    stream = io.StringIO()
    with reporter(mode, Page(stream, look), lambda: 0.0) as report:
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
    """A tensor every 4 seconds."""
    stream, now = io.StringIO(), [0.0]
    with reporter("lines", Page(stream), lambda: now[0]) as report:
        report(Started(("release",), 290, 201, 300, 1_000_000))
        for i in range(6):
            now[0] += 4.0
            report(Merged("blend", f"{i}.weight", 100_000, 0.1, "not built before"))

    expected = """\
30%, 300.0 kB of 1.0 MB: 3 merged, 201 reused, 25.0 kB/s, about 28.0s left
60%, 600.0 kB of 1.0 MB: 6 merged, 201 reused, 25.0 kB/s, about 16.0s left
"""
    assert expected == stream.getvalue().partition("\n")[2]


def test_none_says_notes_and_warnings():
    assert "note: `base` is the base, not an input\nwarning: `talk` has no weights\n" == told("none")


def test_verbose_has_a_line_for_every_action():
    assert "hashed base::a.weight (900 B)\nmerged blend::a.weight (1.0 kB in 0.03s): not built before\n" in told("verbose")


def test_quiet_says_warnings_alone():
    assert "warning: `talk` has no weights\n" == told("quiet")


def test_a_build_that_runs_nothing_is_not_announced():
    assert "" == told("lines", (Started(("release",), 290, 290, 290, 0),))


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
        (outcome("failed", run=3, reused=0, count=WRITTEN), "release failed after 41.2s: 3 merged, 3.1 GB written"),
        (
            outcome("failed", "built", run=3, reused=287, count=WRITTEN),
            "release failed; built deep in 41.2s: 290 tensors, 287 reused, 3 merged, 3.1 GB written",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_last_line_of_a_build(done: Outcome, line: str):
    assert line == summary(done)


@pytest.mark.parametrize(
    ("saved", "tail"),
    [
        (Saved(4_200_000_000, 83.0), "3.1 GB written; saved about 1m 23s of merging and 4.2 GB of reading"),
        (Saved(4_200_000_000, None), "3.1 GB written; saved 4.2 GB of reading"),
        (Saved(0, 0.09), "3.1 GB written"),
    ],
)
def test_the_last_line_says_what_was_saved_as_far_as_it_is_known(saved: Saved, tail: str):
    done = replace(outcome("built", run=89, reused=201, count=WRITTEN), saved=saved)

    assert summary(done).endswith(tail)
    assert all(len(line) <= 60 for line in summary(done, Look(60)).split("\n"))
    assert summary(done) == summary(done, Look(60)).replace("\n  ", " ")


def test_what_a_forecast_says():
    count = Bytes(1_200_000_000, 300_000_000, 0)
    told = replace(outcome("stale", run=12, reused=278, count=count), peak_rss_bytes=210_000_000)

    expected = """\
would run 12 of 290 actions, read 1.2 GB and write 300.0 MB
  in about 41.2s with 210.0 MB of memory, judged by 3 past builds on this machine"""
    assert expected == forecast(replace(told, past_builds=3))
    expected = """\
would run at most 12 of 290 actions, read at most 1.2 GB and write at most 300.0 MB
  with 210.0 MB of memory; there is no past build to judge the time by"""
    assert expected == forecast(replace(told, exact=False))
    assert "release is fresh: 290 tensors, nothing to do" == forecast(outcome("fresh"))


def test_words():
    assert ["", "a", "a and b", "a, b and c"] == [listed("abc"[:n]) for n in range(4)]
    assert ["0 files", "1 file", "2 files"] == [counted(n, "file") for n in range(3)]
    assert ["0.05s", "41.2s", "2m 03s", "1h 05m"] == [seconds(span) for span in (0.049, 41.23, 123.4, 3900)]
    assert ["just now", "1 minute ago", "2 hours ago", "3 days ago"] == [ago(span) for span in (59, 60, 7300, 3 * 86400)]

"""The live view on a terminal that is emulated: what stands on it after each frame, at every width."""

from __future__ import annotations

import io
import os
import pty
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from modelbuild.cli.common import Common
from modelbuild.events import (
    Advanced,
    Began,
    Copied,
    Event,
    Fetched,
    Fetching,
    Hashed,
    Merged,
    Noted,
    Published,
    Sealing,
    Spared,
    Started,
    Uploading,
    Warned,
)
from modelbuild.report import Reporter
from modelbuild.report.live import Live
from modelbuild.report.page import Look, Page
from tests.cli.screens import Screens

EMBED, UP = "model.embed_tokens.weight", "model.layers.12.mlp.up_proj.weight"
SCENE: dict[str, tuple[Event, ...]] = {
    "a file comes from a hub": (Fetching("base", "model-00001-of-00002.safetensors", 4_976_698_672), Advanced(1_500_000_000)),
    "work begins": (
        Fetched("base", "model-00001-of-00002.safetensors", 4_976_698_672),
        Started(("release", "a-target-with-a-long-name"), 290, 201, 300, 3_100_000_000, 500_000_000, 2),
        Began("reading", "base", EMBED, 262_144_000),
    ),
    "a tensor is merged": (
        Hashed("base", EMBED, 262_144_000),
        Began("merging", "skills", EMBED, 262_144_000, "ties"),
        Advanced(131_072_000),
    ),
    "tensors are merged, spared and copied": (
        Merged("skills", EMBED, 262_144_000, 2.0, "not built before"),
        *(Spared("talk", f"model.layers.{i}.mlp.up_proj.weight", 90_177_536) for i in range(12)),
        Began("copying", "release", "lm_head.weight", 262_144_000),
        Copied("release", "lm_head.weight", 262_144_000),
        Began("merging", "a-node-with-a-name-that-is-long", UP, 90_177_536, "subspace_boosting"),
    ),
    "something is said": (Warned("`talk` has no weights, and what is said of it is longer than the page is wide, so that it is broken"),),
    "files are brought to disk": (Merged("blend", UP, 90_177_536, 1.0, "not built before"), Sealing(5)),
    "an output is written": (Published("release", "out/release", 5, 2_100_000_000),),
    "it is sent to a hub": (Uploading("lab/release", 7, 2_100_000_000),),
}


class Terminal:
    """A page that a terminal of so many columns shows."""

    def __init__(self, columns: int, *, colour: bool = False) -> None:
        self.columns, self.now, self.stream = columns, 0.0, io.StringIO()
        self._screen = pyte.Screen(columns, 24)
        self._fed = pyte.Stream(self._screen)
        self._screen.set_mode(pyte.modes.LNM)  # a line break goes to the first column, as a terminal's driver sees to
        self.live = Live(Page(self.stream, Look(columns, colour)), lambda: self.now, lambda: (self.columns, 24))

    def shows(self) -> str:
        """Return what stands on the screen."""
        self._fed.feed(self.stream.getvalue())
        self.stream.seek(0)
        self.stream.truncate()
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()


def scene(terminal: Terminal) -> Iterator[tuple[str, str]]:
    """Play the scene, 3 seconds for each part; yield what is on the screen after each, and at the end."""
    with terminal.live as live:
        for name, events in SCENE.items():
            for event in events:
                live(event)
            terminal.now += 3.0
            live.draw()
            yield name, terminal.shows()
    yield "the build ends", terminal.shows()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_live_view(screens: Screens, width: int):
    shown = [f"--- {name}\n{text}" for name, text in scene(Terminal(width))]

    screens.hold(f"live-{width}", "\n".join(shown) + "\n")


@pytest.mark.parametrize("width", [16, 33, 59, 61, 79, 140])
def test_no_line_of_it_wraps_or_is_left_behind_at_any_width(width: int):
    """What is said stays; of the frames nothing does."""
    for name, text in scene(Terminal(width)):
        lines = text.split("\n")
        assert 1 >= sum(line.startswith(("building", "writing")) for line in lines), name
        assert 1 >= sum("merged" in line for line in lines), name
    assert "warning:`talk`has" in "".join(text.split())
    assert "building" not in text


def test_colours_change_nothing_else():
    plain, coloured = (list(scene(Terminal(80, colour=colour))) for colour in (False, True))

    assert plain == coloured


def test_without_colour_there_is_none():
    terminal = Terminal(80)
    terminal.live(SCENE["work begins"][1])
    terminal.live.draw()

    assert "━" not in terminal.stream.getvalue()
    assert "\x1b[3" not in terminal.stream.getvalue().replace("\x1b[3A", "")
    assert "m" not in {part[-1:] for part in terminal.stream.getvalue().split("\x1b[")[1:] if part[:1].isdigit() and part[1:2] == "m"}


def test_a_terminal_that_gets_narrower_is_cleaned_of_what_it_wrapped():
    """The frame's lines, of 79, 22 and 79 columns, are five rows of 40, from which the cursor has to come back."""
    terminal = Terminal(80)
    for event in SCENE["work begins"]:
        terminal.live(event)
    terminal.live.draw()
    terminal.shows()
    terminal.columns = 40

    terminal.live.draw()

    assert "\r\x1b[4A" in terminal.stream.getvalue()


def test_a_build_that_has_nothing_to_do_shows_nothing():
    terminal = Terminal(80)
    with terminal.live as live:
        live(Started(("release",), 290, 290, 300, 0))
        live.draw()

    assert "" == terminal.stream.getvalue()


def test_each_worker_keeps_its_line():
    """Of two workers each ends and begins; their lines stay where they are."""
    terminal = Terminal(80)
    live = terminal.live
    live(Started(("release",), 9, 0, 9, 9_000_000, jobs=2))
    turns = [threading.Barrier(2, timeout=10) for _ in range(4)]

    def work() -> None:
        for i, turn in enumerate(turns):
            turn.wait()
            if i % 2 == 0:
                live(Began("merging", "other", f"{i}.weight", 1000, "slerp"))
            else:
                live(Merged("other", f"{i - 1}.weight", 1000, 0.1, "not built before"))
            turn.wait()

    live(Began("merging", "mine", "a.weight", 1000, "ties"))
    other = threading.Thread(target=work)
    other.start()
    seen = []
    for turn in turns:
        turn.wait()
        turn.wait()
        live.draw()
        seen.append([" ".join(line.split()[:2]) for line in terminal.shows().split("\n")[2:]])
    other.join()

    assert [["ties mine::a.weight", f"slerp other::{i}.weight"] for i in (0, 0, 2, 2)] == seen


def test_in_the_background_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A terminal that another group of processes is in front of."""
    terminal = Terminal(80)
    ours, theirs = pty.openpty()
    monkeypatch.setattr(terminal.stream, "fileno", lambda: theirs)
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
    terminal.live(SCENE["work begins"][1])

    terminal.live.draw()

    os.close(ours)
    os.close(theirs)
    assert "" == terminal.stream.getvalue()


@pytest.mark.parametrize(
    ("said", "live"),
    [({}, True), ({"TERM": "dumb"}, False), ({"CI": "true"}, False), ({"CI": "false"}, True), ({"NO_COLOR": "1"}, True)],
    ids=str,
)
def test_a_terminal_is_drawn_on_unless_it_cannot_be_or_nobody_looks(said: dict[str, str], live: bool, monkeypatch: pytest.MonkeyPatch):
    for name in ("CI", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)

    def draws(report: Reporter) -> bool:
        with report:
            report(Noted("there is something to show"))
            return isinstance(report._made, Live)

    assert live == draws(Common().reporter())
    assert not draws(Common().reporter("lines"))
    assert draws(Common().reporter("live"))
    assert Common().err.look.colour == ("NO_COLOR" not in said and "TERM" not in said)

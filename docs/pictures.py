"""Draw what the README shows of a build, for a dark page and for a light one: docs/images/build-*.svg.

    python docs/pictures.py

Modelfile.example.toml is built, with one number changed built again, and foretold with another.  A test holds that the
pictures show what the program prints today, but for seconds and what is counted by them.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

from modelbuild import usecases
from modelbuild.events import Began
from modelbuild.report.board import Board
from modelbuild.report.frame import frame
from modelbuild.report.page import Look
from modelbuild.report.problems import fitted
from modelbuild.report.summary import forecast, summary
from modelbuild.usecases import Options, Where

if TYPE_CHECKING:
    from modelbuild.events import Event

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "docs" / "images"
MODELFILE = "Modelfile.example.toml"
THEMES = {"dark": SVG_EXPORT_THEME, "light": DEFAULT_TERMINAL_THEME}
WIDTH = 88
LOOK = Look(WIDTH, colour=True)
SHOWN = 0.6
"""The share of the bytes at which the frame is taken that is shown."""
_YOUNG = 2.5
"""Seconds until files are old enough to be taken for what they were when they are seen again."""
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, Liberation Mono, monospace"


class Recorder:
    """Keeps a frame of a build that runs: the first one when so much is done, and a tensor is in hand."""

    def __init__(self) -> None:
        """Begin."""
        self.board, self.frame = Board(time.monotonic), [""]
        self._taken = False

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.board.take(event)
        if isinstance(event, Began) and event.doing == "merging" and self.board.done >= SHOWN * self.board.total and not self._taken:
            self._taken, self.frame = True, frame(self.board, LOOK, time.monotonic(), 9)


def screen() -> str:
    """Build the example in a directory of its own, and return what a terminal shows, with colours."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shutil.copytree(ROOT / "examples" / "family", root / "examples" / "family")
        shutil.copy(ROOT / MODELFILE, root)
        time.sleep(_YOUNG)
        recorder = Recorder()
        first = usecases.build(Where(root / MODELFILE), (), Options(jobs=1), recorder)
        changed = "vars.blend=0.45"
        again = usecases.build(Where(root / MODELFILE, overrides=(changed,)), (), Options(jobs=1))
        other = "vars.blend=0.5"
        foretold = usecases.forecast(Where(root / MODELFILE, overrides=(other,)), (), Options(jobs=1))
    lines = [
        _typed(""),
        *recorder.frame,
        LOOK.paint("faint", "# … and when it is done:"),
        summary(first, LOOK),
        _typed(f" --set {changed}"),
        fitted(f"note: with --set {changed}", LOOK),
        summary(again, LOOK),
        _typed(f" -n --set {other}"),
        fitted(f"note: with --set {other}", LOOK),
        forecast(foretold, LOOK),
    ]
    return "\n".join(lines)


def _typed(more: str) -> str:
    return LOOK.paint("green", "$") + LOOK.paint("bold", f" modelbuild build -f {MODELFILE}{more}")


def drawn(text: str, theme: TerminalTheme) -> str:
    """Draw a screen as SVG, which asks no network for fonts."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor", legacy_windows=False)
    console.print(Text.from_ansi(text))
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = re.sub(r"font-family: Fira Code[^;]*;", f"font-family: {FONTS};", template)
    return console.export_svg(title="modelbuild", theme=theme, code_format=template, unique_id="modelbuild")


def words(svg: str) -> str:
    """Return the words of a picture without what seconds change: times, rates, and what is foretold from them."""
    shown = " ".join(" ".join(re.findall(r">([^<]*)</text>", svg)).replace("&#160;", " ").split())
    for varying in (
        r", about [\dhms. ]+ left(, [\d.]+ .?B/s)?",
        r"(; saved )?about [\dhms. ]+ of merging( and)?",
        r"; saved",
        r"[\d.]+ .?B of memory",
    ):
        shown = re.sub(varying, "", shown)
    return " ".join(re.sub(r"(\d+[hm] )?[\d.]+[ms](?= |:|$)", "", shown).split())


def main() -> None:
    """Write the pictures."""
    HERE.mkdir(exist_ok=True)
    text = screen()
    for name, theme in THEMES.items():
        (HERE / f"build-{name}.svg").write_text(drawn(text, theme))
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

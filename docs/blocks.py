"""Run the command blocks of a page, and write what they print into it.

    python docs/blocks.py docs/get-started.md docs/guides/*.md

A page is one session in an empty directory that holds `examples/family`.  From its top: a block with a title, as in
`toml title="Modelfile.toml"`, is written to the file of that name, and of a block of the language `console` each line that
begins with `$ ` is run by bash.  What stands below a command is what it prints, on both streams.  A line `...` stands for any
number of lines, and is kept.  `make` is not run; that it would know what to do is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"\n]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (?P<command>.*(?:(?<=\\)\n.*)*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
_WIDTH = 240
_PATIENCE = 300.0
_PROGRESS = re.compile(r"^\d+%, .* left\n", re.MULTILINE)
"""A line of every ten seconds, which a build here prints where the machine is slow."""
_MASKED = (
    (re.compile(r"about (?:\d+m )?[\d.]+(?:ms|s) of merging and "), ""),  # told from a tenth of a second on
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "DATE"),
    (re.compile(r"(?<![\d.,])(?:\d+h )?(?:\d+m )?[\d.]+ ?(?:ms|s)\b"), "SECONDS"),
    (re.compile(r"(?<![\d.,])[\d.]+ (?:B|kB|MB|GB)\b"), "BYTES"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b"), "ID"),
    (re.compile(r" +$", re.MULTILINE), ""),
    (re.compile(r"(?<=\S) {2,}"), "  "),  # columns are as wide as what stands in them
)


@dataclass(frozen=True)
class Said:
    """A command of a page, what it prints there, and where.

    Attributes:
        command: as it is typed.
        shown: what stands below it.
        line: of the page, from 1.
        start: where what is shown begins in the page's text.

    """

    command: str
    shown: str
    line: int
    start: int


_FROM = re.compile(r'from = "([^"]+)"')
_YOUNG = 2.2
"""Seconds; see `modelbuild.usecases.stamp`."""


@dataclass(frozen=True)
class Written:
    """A file that a page has as a block."""

    name: str
    text: str


def session(page: str) -> Iterator[Said | Written]:
    """Yield what a page writes and says, from its top."""
    for block in BLOCK.finditer(page):
        if block["title"]:
            yield Written(block["title"], block["text"])
        elif block["language"] == "console":
            for found in _COMMAND.finditer(block["text"]):
                start = block.start("text") + found.start("output")
                line = page.count("\n", 0, block.start("text") + found.start()) + 1
                yield Said(found["command"], found["output"], line, start)


def furnish(home: Path) -> None:
    """Put into an empty directory what a session takes for granted: the example family, and the program."""
    (home / "examples").mkdir()
    (home / "examples" / "family").symlink_to(ROOT / "examples" / "family")
    (home / ".venv").symlink_to(sys.prefix)


def settle(home: Path) -> None:
    """Wait until what Modelfiles read is old enough to be believed: what was written just now is read anew, as a reader's would not be."""
    read = {home / place for file in home.glob("*.toml") for place in _FROM.findall(file.read_text())}
    times = [file.stat().st_mtime for place in read if place.is_dir() for file in place.iterdir()]
    time.sleep(max(0.0, max(times, default=0.0) + _YOUNG - time.time()))


def perform(command: str, home: Path) -> tuple[int, str]:
    """Run a command as somebody whose output goes to a file; return how it ends and what it prints."""
    settle(home)
    if command.startswith("make "):
        command = f"make --dry-run -C {ROOT} {command.removeprefix('make ').partition('#')[0]} >{os.devnull}"
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("MODELBUILD_", "HF_", "COV_")) and name != "CI"}
    told = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": str(_WIDTH),
        "NO_COLOR": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=home,
        env=keep | told | {"HOME": str(home), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    return done.returncode, _PROGRESS.sub("", done.stdout)


def masked(text: str) -> str:
    """Return what a command prints without what another run, or another machine, prints otherwise."""
    for pattern, word in _MASKED:
        text = pattern.sub(word, text)
    return text


def alike(shown: str, printed: str) -> bool:
    """Say whether a command prints what is shown, but for what is masked and for what `...` stands for."""
    parts = re.split(r"^\.\.\.\n", masked(shown), flags=re.MULTILINE)
    return re.fullmatch("(?:.*\n)*?".join(map(re.escape, parts)), masked(printed)) is not None


def rewritten(page: str, home: Path) -> str:
    """Return a page with what its commands print now, where that is not what it shows."""
    pieces, done = [], 0
    for step in session(page):
        if isinstance(step, Written):
            (home / step.name).write_text(step.text)
            continue
        _, printed = perform(step.command, home)
        if not alike(step.shown, printed):
            pieces += [page[done : step.start], printed if printed.endswith("\n") or not printed else printed + "\n"]
            done = step.start + len(step.shown)
    return "".join([*pieces, page[done:]])


def main() -> None:
    """Write pages anew."""
    for page in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as home:
            furnish(Path(home))
            before = page.read_text()
            after = rewritten(before, Path(home))
            if after != before:
                page.write_text(after)


if __name__ == "__main__":
    main()

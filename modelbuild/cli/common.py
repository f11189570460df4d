"""What all commands share: the common options as given, the environment, and where text goes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TextIO

import typer
from msgspec import Struct

from modelbuild.cli.completion import completed
from modelbuild.report.page import Look, Page

if TYPE_CHECKING:
    from modelbuild.report import Reporter
    from modelbuild.usecases import Where

Colour = Literal["auto", "always", "never"]

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="Names of merges and groups, or globs ('x@*'); none: the default ones. NAME.yml: a mergekit file to read instead.",
        show_default=False,
        autocompletion=completed("targets"),
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Edit the Modelfile in memory; may be repeated.", show_default=False)
]
Offline = Annotated[bool, typer.Option("--offline", help="Ask no hub for anything.")]
Mirrors = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="NAME=PATH",
        help="Read a source from there, the same bytes; may be repeated.",
        show_default=False,
        autocompletion=completed("sources"),
    ),
]
Showing = Literal["auto", "live", "lines", "none"]
Progress = Annotated[
    Showing, typer.Option("--progress", help="How to show how far it is; auto: live on a terminal, else lines.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Common(Struct):
    """The options that every command has, before or after its name."""

    NAMES: ClassVar = ("file", "directory", "quiet", "verbose", "color", "debug")

    file: Path | None = None
    directory: Path = Path()
    quiet: bool = False
    verbose: bool = False
    color: Colour = "auto"
    debug: bool = False

    def where(self, overrides: list[str] | None = None, *, offline: bool = False, mirrors: list[str] | None = None) -> Where:
        """Return the project, and say what `--set` changes in it."""
        return self.aimed((), overrides, offline=offline, mirrors=mirrors)[0]

    def aimed(
        self, words: Sequence[str], overrides: list[str] | None = None, *, offline: bool = False, mirrors: list[str] | None = None
    ) -> tuple[Where, tuple[str, ...]]:
        """Return the project and the targets that the words of a command name, and say what `--set` changes."""
        from modelbuild.usecases.where import Where, sorted_out

        for override in overrides or ():
            self.note(f"with --set {override}")
        named = _named(mirrors)
        files, targets = sorted_out(words, file=self.file)
        first, *more = (self.directory / file for file in files)
        cache = os.environ.get("MODELBUILD_CACHE", "")
        return Where(first, cache, tuple(overrides or ()), offline, named, tuple(more), self.directory), targets

    def received(
        self, words: Sequence[str], overrides: list[str] | None, *, offline: bool, mirrors: list[str] | None
    ) -> tuple[Where, tuple[str, ...]]:
        """Bring the recipe here that the first word of a command names on a hub; return where it is, and the targets."""
        from modelbuild import usecases as use_cases

        if self.file or overrides:
            raise typer.BadParameter("what was published is built as it stands: leave out --file and --set")
        cache, named = os.environ.get("MODELBUILD_CACHE", ""), _named(mirrors)
        with self.reporter() as report:
            return use_cases.checkout(words[0], self.directory, report, cache=cache, offline=offline, sources=dict(named)), tuple(words[1:])

    @property
    def out(self) -> Page:
        """Where data goes."""
        return Page(sys.stdout, self._look(sys.stdout))

    @property
    def err(self) -> Page:
        """Where talk goes."""
        return Page(sys.stderr, self._look(sys.stderr), needed=False)

    def note(self, text: str) -> None:
        """Say something that the user should know and that is no problem."""
        if not self.quiet:
            from modelbuild.report.problems import fitted

            self.err.say(fitted(f"note: {text}", self.err.look))

    def deliver(self, text: str, output: Path | None) -> None:
        """Print a document, or write it where the user says and say so."""
        if output is None:
            self.out.say(text)
            return
        from modelbuild.usecases.writing import write

        path = self.directory / output
        write(path, text)
        if not self.quiet:
            self.err.say(f"wrote {path}")

    def reporter(self, progress: Showing = "auto") -> Reporter:
        """Return what shows a build: where nothing else is asked for, live on a terminal, and in lines elsewhere."""
        from modelbuild.report import reporter

        if progress == "auto":
            live = _is_terminal(sys.stderr) and os.environ.get("CI", "").lower() in ("", "0", "false")
            progress = "live" if live else "lines"
        return reporter("quiet" if self.quiet else "verbose" if self.verbose else progress, self.err, size=lambda: _size(sys.stderr))

    def _look(self, stream: TextIO | None) -> Look:
        terminal = _is_terminal(stream)
        colour = self.color == "always" or (self.color == "auto" and terminal and not os.environ.get("NO_COLOR"))
        width = _size(stream)[0] if terminal or os.environ.get("COLUMNS") else 0
        return Look(width, colour, ascii=stream is not None and not (stream.encoding or "").lower().startswith("utf"))


def _named(mirrors: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Read the values of `--source`."""
    named = tuple((name, path) for name, _, path in (mirror.partition("=") for mirror in mirrors or ()))
    if not all(name and path for name, path in named):
        raise typer.BadParameter("write --source NAME=PATH")
    return named


def _size(stream: TextIO | None) -> tuple[int, int]:
    """Return the columns and rows of the terminal that a stream is; what COLUMNS says goes before, and 80 and 24 are for none."""
    columns, rows = 80, 24
    with contextlib.suppress(OSError, ValueError, AttributeError):
        columns, rows = os.get_terminal_size(stream.fileno())  # type: ignore[union-attr]
    said = os.environ.get("COLUMNS", "")
    return (int(said) if said.isdecimal() and int(said) else columns or 80), rows or 24


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def parsed_size(text: str) -> int:
    """Read the value of an option that is a size."""
    from modelbuild.names import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(f'{error}; write it as "4GB" or "512 MiB"') from None

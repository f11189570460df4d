"""What all commands share: the common options as given, the environment, and where text goes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TextIO

import typer

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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(slots=True)
class Common:
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
        named = tuple((name, path) for name, _, path in (mirror.partition("=") for mirror in mirrors or ()))
        if not all(name and path for name, path in named):
            raise typer.BadParameter("write --source NAME=PATH")
        files, targets = sorted_out(words, file=self.file)
        first, *more = (self.directory / file for file in files)
        cache = os.environ.get("MODELBUILD_CACHE", "")
        return Where(first, cache, tuple(overrides or ()), offline, named, tuple(more), self.directory), targets

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
            from modelbuild.report.problems import painted

            self.err.say(painted(f"note: {text}", self.err.look))

    def reporter(self) -> Reporter:
        """Return what shows a build: a bar on a terminal, lines elsewhere."""
        from modelbuild.report import reporter

        live = _is_terminal(sys.stderr) and os.environ.get("CI", "").lower() in ("", "0", "false")
        return reporter("quiet" if self.quiet else "verbose" if self.verbose else "live" if live else "lines", self.err)

    def _look(self, stream: TextIO | None) -> Look:
        terminal = _is_terminal(stream)
        colour = self.color == "always" or (self.color == "auto" and terminal and not os.environ.get("NO_COLOR"))
        width = shutil.get_terminal_size().columns if terminal or os.environ.get("COLUMNS") else 0
        return Look(width, colour, ascii=stream is not None and not (stream.encoding or "").lower().startswith("utf"))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def parsed_size(text: str) -> int:
    """Read the value of an option that is a size."""
    from modelbuild.names import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(f'{error}; write it as "4GB" or "512 MiB"') from None

"""Write the page of the commands, from the program's own declarations.

    python docs/cli.py

A test fails where the page is not what this would write.
"""

from __future__ import annotations

import re
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

from typer.core import TyperGroup

from modelbuild.cli.app import program
from modelbuild.cli.common import Common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer import _click

PAGE = Path(__file__).resolve().parent / "cli.md"
PROGRAM = "modelbuild"
HEAD = """\
# Commands

Written by `make docs` from the program itself; `modelbuild COMMAND --help` shows the same. What commands end with is in
[exit codes](modelfile.md#exit-codes), what `--json` prints in [the Modelfile](modelfile.md#build---json) and
[history](history.md#as-json)."""
ALL = "## Options of every command\n\nThey may stand before or after its name."


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """Return the page."""
    group = program()
    context = group.make_context(PROGRAM, [], resilient_parsing=True)
    parts = [HEAD, f"{ALL}\n\n{table(context, group.get_params(context), common=True)}"]
    for path, command, inner in commands(group, context):
        parts += [f"{'#' * (len(path) + 1)} {' '.join(path)}", *described(command, inner)]
    return "\n\n".join(parts) + "\n"


def commands(
    group: TyperGroup, context: _click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], _click.Command, _click.Context]]:
    """Yield every command, and those of groups after their group, with the words that call it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield (*path, name), command, inner
        if isinstance(command, TyperGroup):
            yield from commands(command, inner, (*path, name))


def described(command: _click.Command, context: _click.Context) -> Iterator[str]:
    """Yield a command's paragraphs: its usage, what it does, its parameters."""
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"```text\n{' '.join(usage.split())}\n```"
    yield "\n\n".join(" ".join(part.split()) for part in cleandoc(command.help or "").split("\n\n"))
    listed = table(context, command.get_params(context), common=False)
    if listed:
        yield listed


def table(context: _click.Context, params: list[_click.Parameter], *, common: bool) -> str:
    """Return the arguments and options as a table: those that every command has, or a command's own; "" where there are none."""
    rows = [param.get_help_record(context) for param in params if (param.name in (*Common.NAMES, "version")) == common]
    lines = [f"| {cell(f'`{name}`')} | {cell(text)} |" for name, text in filter(None, rows) if "--help" not in name]
    return "\n".join(["| argument or option | |", "|---|---|", *lines]) if lines else ""


def cell(text: str) -> str:
    """Write a text into a cell of a table; of what kind an argument is goes without saying."""
    text = re.sub(r" <(?:list\[)?\w+\]?>", "", text)
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()

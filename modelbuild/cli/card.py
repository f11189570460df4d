"""`modelbuild card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Mirrors, Offline

_TARGET = typer.Argument(metavar="TARGET", help="The name of a merge; none: the default one.", show_default=False)
_OUTPUT = typer.Option("--output", "-o", metavar="FILE", help="Write it there, where nothing is yet; default: print.", show_default=False)
_TO = typer.Option("--to", metavar="hf://NS/NAME", help="Where it is to be published; default: `output.push`.", show_default=False)


def card(
    context: typer.Context,
    target: Annotated[str, _TARGET] = "",
    to: Annotated[str, _TO] = "",
    output: Annotated[Path | None, _OUTPUT] = None,
    recipe: Annotated[bool, typer.Option("--recipe", help="Of the recipe without weights.")] = False,
    offline: Offline = False,
    mirrors: Mirrors = None,
) -> None:
    """Show the model card that `push` publishes."""
    from modelbuild import usecases as use_cases

    common: Common = context.obj
    where, names = common.aimed((target,) if target else (), offline=offline, mirrors=mirrors)
    path = common.directory / output if output else None
    with common.reporter() as report:
        text = use_cases.card(where, "".join(names), report, to=to, output=path, recipe=recipe)
    if path is None:
        common.out.say(text.rstrip("\n"))
    elif not common.quiet:
        common.err.say(f"wrote {path}")

"""`modelbuild push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Progress

_TARGET = typer.Argument(metavar="TARGET", help="The name of a merge; none: the default one.", show_default=False)
_TO = typer.Option("--to", metavar="hf://NS/NAME", help="A repository, and @BRANCH; default: `output.push`.", show_default=False)
_MESSAGE = typer.Option("--message", metavar="TEXT", help="Of the commit.", show_default=False)
_CARD = typer.Option("--card", metavar="FILE", help="A model card to publish in place of the one that is made.", show_default=False)


def push(
    context: typer.Context,
    target: Annotated[str, _TARGET] = "",
    to: Annotated[str, _TO] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be sent.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    message: Annotated[str, _MESSAGE] = "",
    recipe: Annotated[bool, typer.Option("--recipe", help="Publish Modelfile, lock and card, and no weights.")] = False,
    card: Annotated[Path | None, _CARD] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Publish it unchecked, and say so.")] = False,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Publish a target on a hub, in one commit."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import screens

    common: Common = context.obj
    where, names = common.aimed((target,) if target else (), mirrors=mirrors)
    own = common.directory / card if card else None
    with common.reporter(progress) as report:
        pushed = use_cases.push(
            where,
            "".join(names),
            report,
            to=to,
            dry_run=dry_run,
            private=private,
            message=message,
            recipe=recipe,
            card=own,
            no_check=no_check,
        )
    if json:
        from modelbuild.report.json_document import document

        common.out.say(document(pushed.to_json()))
    elif not common.quiet:
        common.out.tell(screens.pushed(pushed, verbose=common.verbose or dry_run))

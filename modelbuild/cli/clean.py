"""`modelbuild clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json
from modelbuild.cli.completion import completed


def clean(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help="Names of merges and groups, or globs; none: all of them.",
            show_default=False,
            autocompletion=completed("targets"),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Remove outputs that modelbuild made.

    Never the cache, never a source, and nothing where other files stand in an output's directory.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, upkeep

    common: Common = context.obj
    where, names = common.aimed(targets or ())
    done = use_cases.clean(where, names)
    if json:
        common.out.say(json_document.document(done))
    elif not common.quiet:
        common.out.tell(upkeep.clean(done))

"""`modelbuild show`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Overrides
from modelbuild.cli.completion import completed

Shown = Annotated[
    list[str],
    typer.Argument(metavar="TARGET", help="Names of merges and groups, or globs.", show_default=False, autocompletion=completed("targets")),
]


def show(context: typer.Context, targets: Shown, overrides: Overrides = None, json: Json = False) -> None:
    """Show targets tensor by tensor.

    Shapes, types, origins, parameters as resolved, and keys.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, screens

    common: Common = context.obj
    where, names = common.aimed(targets, overrides)
    shown = use_cases.show(where, names)
    if json:
        common.out.say(json_document.document(shown[0] if len(shown) == 1 else {"targets": shown}))
    else:
        common.out.say("\n\n".join(screens.show(one, common.out.look) for one in shown))

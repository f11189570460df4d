"""`modelbuild methods`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json
from modelbuild.cli.completion import completed


def methods(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of them.", show_default=False, autocompletion=completed("methods"))] = "",
    json: Json = False,
) -> None:
    """Show the installed methods, or one in full."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, screens

    common: Common = context.obj
    found = use_cases.list_methods(name)
    if json:
        common.out.say(json_document.methods(found))
    else:
        common.out.say(screens.method(found[0], common.out.look) if name else screens.methods(found, common.out.look))

"""`modelbuild log`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json


def log(
    context: typer.Context,
    build: Annotated[
        str, typer.Argument(metavar="BUILD", help="The id of one, or how it starts: it is shown whole.", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """List past builds, or show one whole."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import history, json_document

    common: Common = context.obj
    where = common.where()
    if build:
        one = use_cases.logged(where, build)
        common.out.say(json_document.document(one) if json else history.logged(one, common.out.look))
    else:
        found = use_cases.log(where)
        common.out.say(json_document.document({"builds": found}) if json else history.log(found, common.out.look))

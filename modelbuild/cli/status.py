"""`modelbuild status`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Overrides, Targets


def status(
    context: typer.Context,
    targets: Targets = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if anything is stale.")] = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Say of each target whether it is fresh, or stale and why."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, screens

    common: Common = context.obj
    where, names = common.aimed(targets or (), overrides)
    found = use_cases.status(where, names)
    common.out.say(json_document.document({"targets": found}) if json else screens.status(found, common.out.look))
    raise typer.Exit(int(exit_code and any(one.state == "stale" for one in found)))

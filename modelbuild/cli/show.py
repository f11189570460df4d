"""`modelbuild show`."""

from __future__ import annotations

import typer

from modelbuild.cli.common import Common, Json, Overrides, Target


def show(context: typer.Context, target: Target, overrides: Overrides = None, json: Json = False) -> None:
    """Show a target tensor by tensor.

    Shapes, types, origins, parameters as resolved, and keys.
    """
    from modelbuild import build as use_cases
    from modelbuild.report import json_document, screens

    common: Common = context.obj
    where, names = common.aimed((target,), overrides)
    shown = use_cases.show(where, *names)
    common.out.say(json_document.document(shown) if json else screens.show(shown, common.out.look))

"""`modelbuild schema`."""

from __future__ import annotations

import typer

from modelbuild.cli.common import Common


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of a Modelfile, for editors."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document

    common: Common = context.obj
    common.out.say(json_document.document(use_cases.schema()))

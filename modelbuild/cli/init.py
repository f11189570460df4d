"""`modelbuild init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common
from modelbuild.cli.completion import completed

_PLACE = typer.Argument(metavar="DIRECTORY", help="Where; made if it is missing.", show_default=False)
_TEMPLATE = typer.Option(
    "--template",
    "-t",
    metavar="NAME",
    help="slerp, ties, frankenmerge, moe, multi-stage or soup.",
    show_default=False,
    autocompletion=completed("templates"),
)
_MODELS = typer.Option(
    "--model", "-m", metavar="PATH", help="A model, the base first: a directory, or org/name on the hub.", show_default=False
)


def init(
    context: typer.Context,
    place: Annotated[Path, _PLACE] = Path(),
    template: Annotated[str, _TEMPLATE] = "",
    models: Annotated[list[str] | None, _MODELS] = None,
) -> None:
    """Write a first Modelfile, to be changed.

    On a terminal it asks for what is not given.
    """
    from modelbuild import usecases as use_cases

    common: Common = context.obj
    file = common.directory / place / (common.file or "Modelfile.toml")
    if sys.stdin.isatty() and sys.stdout.isatty() and not common.quiet:
        template, models = _asked(common, template, models)
    made = use_cases.init(file, template or "multi-stage", models or (), common.directory)
    if not common.quiet:
        after = "run `modelbuild build`" if models else "say in it where your models are, then run `modelbuild build`"
        common.out.tell(f"wrote {made}: {after}")


def _asked(common: Common, template: str, models: list[str] | None) -> tuple[str, list[str]]:
    """Ask for the template and the models that were not given."""
    from modelbuild.usecases.templates import TEMPLATES

    if not template:
        for name, (what, *_) in TEMPLATES.items():
            common.out.say(f"  {name:<13} {what}")
        template = typer.prompt("template", default="multi-stage", type=str)
    if models is None and template in TEMPLATES:
        low, high = TEMPLATES[template][2]
        models = []
        while len(models) < high:
            what = (
                "where is the first model, the base"
                if not models
                else "another model"
                if len(models) < low
                else "another model (nothing to end)"
            )
            told = typer.prompt(what, default="", show_default=False).strip()
            if not told:
                break
            models.append(told)
    return template, models or []

"""`modelbuild init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common


def init(
    context: typer.Context,
    place: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where; made if it is missing.", show_default=False)] = Path(),
) -> None:
    """Write a first Modelfile, to be changed."""
    from modelbuild import build as use_cases

    common: Common = context.obj
    made = use_cases.init(common.directory / place / (common.file or "Modelfile.toml"))
    if not common.quiet:
        common.out.say(f"wrote {made}: say in it where your models are, then run `modelbuild build`")

"""`modelbuild import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common

_CONFIGURATIONS = typer.Argument(metavar="CONFIG.yml", help="mergekit's; several are one graph.", show_default=False)
_OUTPUT = typer.Option("--output", "-o", metavar="FILE", help="Write there; default: print.", show_default=False)


def import_(
    context: typer.Context,
    configurations: Annotated[list[Path], _CONFIGURATIONS],
    output: Annotated[Path | None, _OUTPUT] = None,
) -> None:
    """Read mergekit configurations as a Modelfile."""
    from modelbuild import usecases as use_cases

    common: Common = context.obj
    found = [common.directory / one for one in configurations]
    text, notes = use_cases.import_mergekit(found, common.directory / output if output else None, common.directory)
    for note in notes:
        common.note(note)
    if output is None:
        common.out.say(text.rstrip("\n"))
    elif not common.quiet:
        common.out.tell(f"wrote {output}: `modelbuild build -f {output}` builds it")

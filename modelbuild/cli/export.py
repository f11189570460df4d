"""`modelbuild export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Targets

_OUTPUT = typer.Option(
    "--output", "-o", metavar="FILE", help="A .yml file, or a directory for one each; default: print.", show_default=False
)


def export(
    context: typer.Context,
    targets: Targets = None,
    output: Annotated[Path | None, _OUTPUT] = None,
) -> None:
    """Write merges as mergekit configurations."""
    from modelbuild import usecases as use_cases

    common: Common = context.obj
    where, names = common.aimed(targets or ())
    written, notes = use_cases.export_mergekit(where, names, common.directory / output if output else None, common.directory)
    for note in notes:
        common.note(note)
    for path, text in written:
        if not path:
            common.out.say(text.rstrip("\n"))
        elif not common.quiet:
            common.out.tell(f"wrote {path}")

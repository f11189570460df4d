"""`modelbuild report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json

_TARGET = typer.Argument(metavar="TARGET", help="The name of a merge; none: the only default one.", show_default=False)
_OUTPUT = typer.Option("--output", "-o", metavar="FILE", help="Where to write it; default: TARGET.html.", show_default=False)


def report(
    context: typer.Context, target: Annotated[str, _TARGET] = "", output: Annotated[Path | None, _OUTPUT] = None, json: Json = False
) -> None:
    """Write one HTML file of what a merge changed, and where."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import findings, json_document
    from modelbuild.usecases.delivering import refuse_nowhere

    common: Common = context.obj
    where, names = common.aimed((target,) if target else ())
    if output and not json:
        refuse_nowhere(common.directory / output)
    with common.reporter() as told:
        view = use_cases.view_report(where, "".join(names), told)
    if view.unbuilt:
        common.note(f"{view.unbuilt} tensors are not built as the Modelfile is now, and not measured: modelbuild build {view.target}")
    if json:
        common.out.say(json_document.document(view))
    else:
        common.deliver(findings.report(view), output or Path(f"{view.target}.html"))

"""`modelbuild diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json

_SIDE = "A merge, a source, a build of the log (ID or ID::TARGET), a directory or a .safetensors file."


def diff(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help=_SIDE, show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.", show_default=False)],
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if anything differs.")] = False,
    json: Json = False,
) -> None:
    """Compare two models: recipes, then what differs of the tensors.

    Tensors whose digests are equal are never read.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import history, json_document

    common: Common = context.obj
    found = use_cases.diff(common.where(), first, second, common.directory)
    if json:
        common.out.say(json_document.document({"compared": found, "equal": all(one.equal for one in found)}))
    else:
        common.out.say(history.diff(found, common.out.look))
    raise typer.Exit(int(exit_code and not all(one.equal for one in found)))

"""`modelbuild why`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json

_NAME = "The name of a source or a merge, or one of its tensors."


def why(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A[::TENSOR]", help=_NAME, show_default=False)],
    last: Annotated[str, typer.Argument(metavar="B[::TENSOR]", help="Another one.", show_default=False)],
    json: Json = False,
) -> None:
    """Show a path in the graph from A to B, which rests on it.

    Ends with 1 where neither rests on the other.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import history, json_document

    common: Common = context.obj
    found = use_cases.why(common.where(), first, last)
    common.out.say(json_document.document(found) if json else history.why(found, common.out.look))
    raise typer.Exit(int(not found.path))

"""`modelbuild graph`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from modelbuild.cli.common import Common, Json
from modelbuild.cli.completion import completed

_TARGET = typer.Argument(
    metavar="TARGET",
    help="The name of a merge or a group, or a glob; none: the whole graph.",
    show_default=False,
    autocompletion=completed("targets"),
)


def graph(
    context: typer.Context,
    target: Annotated[str, _TARGET] = "",
    form: Annotated[Literal["text", "mermaid", "dot", "json"], typer.Option("--format", help="How to draw it.")] = "text",
    json: Json = False,
) -> None:
    """Draw the graph of merges."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import drawings, json_document

    common: Common = context.obj
    where, names = common.aimed((target,) if target else ())
    view = use_cases.view_graph(where, *names)
    if json or form == "json":
        common.out.say(json_document.document(view))
    else:
        common.out.say(drawings.FORMATS[form](view) if form in drawings.FORMATS else drawings.tree(view, common.out.look))

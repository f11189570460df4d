"""`modelbuild graph`."""

from __future__ import annotations

from pathlib import Path
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

_FORM = typer.Option("--format", help="How to draw it.")
_OUTPUT = typer.Option("--output", "-o", metavar="FILE", help="Where to write it; default: print.", show_default=False)


def graph(
    context: typer.Context,
    target: Annotated[str, _TARGET] = "",
    form: Annotated[Literal["text", "mermaid", "dot", "json", "svg", "html"], _FORM] = "text",
    output: Annotated[Path | None, _OUTPUT] = None,
    json: Json = False,
) -> None:
    """Draw the graph of merges."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import drawings, json_document
    from modelbuild.report.page import Look

    common: Common = context.obj
    where, names = common.aimed((target,) if target else ())
    view = use_cases.view_graph(where, *names)
    if json or form == "json":
        text = json_document.document(view)
    elif form == "text":
        text = drawings.tree(view, Look() if output else common.out.look)
    else:
        text = drawings.drawn(view, form)
    common.deliver(text, output)

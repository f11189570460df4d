"""`modelbuild explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Overrides
from modelbuild.cli.completion import completed


def explain(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET[::TENSOR]",
            help="The name of a merge or a group, or a glob; or one of their tensors.",
            show_default=False,
            autocompletion=completed("targets"),
        ),
    ],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Say why tensors are, or would be, rebuilt.

    Field by field: the old value and the new one. Tensors of a merge of which the same is to be told are told together; -v tells of each.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import explanations, json_document

    common: Common = context.obj
    name, _, tensor = target.partition("::")
    where, names = common.aimed((name,), overrides)
    told = use_cases.explain(where, "".join(names), tensor)
    if json:
        common.out.say(json_document.document({"tensors": told}))
    else:
        common.out.say(explanations.explain(told, common.out.look, each=common.verbose))

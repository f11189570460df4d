"""`modelbuild cache`: its five commands."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, parsed_size
from modelbuild.errors import Exit

cache = typer.Typer(
    name="cache",
    help="See what the cache holds, and keep it small and sound.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)

_MAX_SIZE = typer.Option("--max-size", metavar="SIZE", parser=parsed_size, help='Such as "50GB"; default: what the Modelfile allows.')


@cache.callback()
def _group() -> None:
    pass


@cache.command("ls")
def ls(context: typer.Context, json: Json = False) -> None:
    """List the packs, most recently used first."""
    import time

    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, upkeep

    common: Common = context.obj
    listing = use_cases.cache_ls(common.where())
    common.out.say(json_document.document(listing) if json else upkeep.cache_ls(listing, common.out.look, time.time()))


@cache.command("size")
def size(context: typer.Context, json: Json = False) -> None:
    """Say how large the cache is, and how large it may be."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, upkeep

    common: Common = context.obj
    found = use_cases.cache_size(common.where())
    if json:
        common.out.say(json_document.document(found))
    else:
        common.out.tell(upkeep.cache_size(found))


@cache.command("gc")
def gc(
    context: typer.Context,
    max_size: Annotated[int | None, _MAX_SIZE] = None,
    json: Json = False,
) -> None:
    """Remove packs until the cache fits its size.

    First what no build can use, then packs, least recently used first.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, upkeep

    common: Common = context.obj
    done = use_cases.cache_gc(common.where(), max_size or 0)
    if json:
        common.out.say(json_document.document(done))
    else:
        common.out.tell(upkeep.cache_gc(done))


@cache.command("verify")
def verify(context: typer.Context, json: Json = False) -> None:
    """Read every pack, and remove those that are broken.

    Ends with 4 if there were any: what they held is computed again when it is needed.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, upkeep

    common: Common = context.obj
    done = use_cases.cache_verify(common.where())
    if json:
        common.out.say(json_document.document(done))
    else:
        common.out.tell(upkeep.cache_verify(done))
    raise typer.Exit(Exit.DIGEST if done.removed else Exit.DONE)


@cache.command("clean")
def clean(context: typer.Context, json: Json = False) -> None:
    """Remove everything that the cache holds; outputs stay as they are.

    The log of builds goes too, with what `restore`, `explain` and `diff` know of them; so do the results of checks, and the figures and
    times that `report` and forecasts go by.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, upkeep

    common: Common = context.obj
    where = common.where()
    if not json:
        common.out.tell(upkeep.cache_clean(use_cases.cache_size(where)))
    done = use_cases.cache_clean(where)
    if json:
        common.out.say(json_document.document(done))

"""`modelbuild restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, parsed_size
from modelbuild.cli.completion import completed

_BUILD = typer.Argument(metavar="BUILD", help="The id of a past build, or how it starts: see `modelbuild log`.", show_default=False)
_TARGETS = typer.Argument(
    metavar="TARGET",
    help="Its outputs: names of merges, or globs ('x@*'); none: all of them.",
    show_default=False,
    autocompletion=completed("targets"),
)
_OUTPUT = typer.Option(
    "--output", "-o", metavar="DIR", help="Where a single one is to go; default: where the Modelfile has it.", show_default=False
)
_JOBS = typer.Option("--jobs", "-j", min=0, metavar="N", help="Threads; 0: one per core.", show_default=False)
_MEMORY = typer.Option("--memory", metavar="SIZE", parser=parsed_size, help='Such as "4GB"; default: half of what is available.')


def restore(
    context: typer.Context,
    build: Annotated[str, _BUILD],
    targets: Annotated[list[str] | None, _TARGETS] = None,
    output: Annotated[Path | None, _OUTPUT] = None,
    jobs: Annotated[int, _JOBS] = 0,
    memory: Annotated[int | None, _MEMORY] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
    offline: Offline = False,
    mirrors: Mirrors = None,
    json: Json = False,
) -> None:
    """Make outputs of a past build again.

    They are linked from the cache where that has kept them, else computed from the Modelfile and the lock of then; what comes out is
    the recorded output, or what stands at its path stays.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import history, json_document

    common: Common = context.obj
    where = common.where(offline=offline, mirrors=mirrors)
    options = use_cases.Options(jobs, device=device, memory=memory or 0)
    with common.reporter() as report:
        done = use_cases.restore(where, build, targets or (), common.directory / output if output else None, options, report)
    if json:
        common.out.say(json_document.document({"restored": done}))
    elif not common.quiet:
        common.err.tell(history.restored(done))

"""`modelbuild restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, parsed_size

_BUILD = typer.Argument(metavar="BUILD", help="The id of a past build, or how it starts: see `modelbuild log`.", show_default=False)
_TARGET = typer.Argument(metavar="TARGET", help="One of its outputs; none: all of them.", show_default=False)
_OUTPUT = typer.Option("--output", "-o", metavar="DIR", help="Where it is to go; default: where the Modelfile has it.", show_default=False)
_JOBS = typer.Option("--jobs", "-j", min=0, metavar="N", help="Threads; 0: one per core.", show_default=False)
_MEMORY = typer.Option("--memory", metavar="SIZE", parser=parsed_size, help='Such as "4GB"; default: half of what is available.')


def restore(
    context: typer.Context,
    build: Annotated[str, _BUILD],
    target: Annotated[str, _TARGET] = "",
    output: Annotated[Path | None, _OUTPUT] = None,
    jobs: Annotated[int, _JOBS] = 0,
    memory: Annotated[int | None, _MEMORY] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
    offline: Offline = False,
    mirrors: Mirrors = None,
    json: Json = False,
) -> None:
    """Make the output of a past build again.

    It is linked from the cache where that has kept it, else computed from the Modelfile and the lock of then; what comes out is the
    recorded output, or nothing is changed.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import history, json_document

    common: Common = context.obj
    where = common.where(offline=offline, mirrors=mirrors)
    options = use_cases.Options(jobs, device=device, memory=memory or 0)
    with common.reporter() as report:
        done = use_cases.restore(where, build, target, common.directory / output if output else None, options, report)
    if json:
        common.out.say(json_document.document({"restored": done}))
    elif not common.quiet:
        common.err.say(history.restored(done))

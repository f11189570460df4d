"""`modelbuild watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli import endings
from modelbuild.cli.build import JOBS, tell
from modelbuild.cli.common import Common, Mirrors, Offline, Overrides, Targets
from modelbuild.errors import ModelbuildError


def watch(
    context: typer.Context,
    targets: Targets = None,
    jobs: Annotated[int, JOBS] = 0,
    keep_going: Annotated[bool, typer.Option("--keep-going", "-k", help="Build what does not rest on what failed.")] = False,
    overrides: Overrides = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
    offline: Offline = False,
    mirrors: Mirrors = None,
) -> None:
    """Build again whenever the Modelfile is saved.

    Or a file of a source that is not on a hub.  Errors are shown, and it goes on waiting; Ctrl-C ends it.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report.words import counted

    common: Common = context.obj
    where, names = common.aimed(targets or (), overrides, offline=offline, mirrors=mirrors)
    options = use_cases.Options(jobs, keep_going=keep_going, device=device)
    for files in use_cases.watch(where):
        try:
            with common.reporter() as report:
                outcome = use_cases.build(where, names, options, report)
            tell(common, outcome)
        except (ModelbuildError, OSError) as error:
            endings.tell(error, common)
        if not common.quiet:
            common.err.say(f"watching {counted(files, 'file')}; Ctrl-C ends it")

"""`modelbuild test`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, Overrides, Progress, Targets
from modelbuild.cli.options import Device, Jobs, Only


def test(
    context: typer.Context,
    targets: Targets = None,
    only: Only = None,
    again: Annotated[bool, typer.Option("--force", "-B", help="Run every check, whatever is known.")] = False,
    jobs: Jobs = 0,
    overrides: Overrides = None,
    device: Device = "auto",
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write a report as JUnit's XML, too.", show_default=False)
    ] = None,
    offline: Offline = False,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Run the checks of targets.

    What is not fresh is built first. Ends with 1 if a check fails.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, scores
    from modelbuild.usecases.writing import refuse_nowhere, write

    common: Common = context.obj
    page = common.directory / junit if junit else None
    if page:
        refuse_nowhere(page)
    where, names = common.aimed(targets or (), overrides, offline=offline, mirrors=mirrors)
    with common.reporter(progress) as report:
        tested = use_cases.test(where, names, use_cases.Options(jobs=jobs, device=device), report, only=only or (), again=again)
    if json:
        common.out.say(json_document.document(tested.to_json()))
    elif not common.quiet or tested.failed:
        common.out.say(scores.tested(tested, common.out.look))
    if page:
        from modelbuild.report.junit import junit as document

        write(page, document(tested))
    raise typer.Exit(tested.exit_code)

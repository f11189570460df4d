"""`modelbuild compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, Overrides, Progress
from modelbuild.cli.options import Device, Jobs, Only


def compare(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Sources and merges; a single merge: it and its parents.", show_default=False),
    ] = None,
    only: Only = None,
    jobs: Jobs = 0,
    overrides: Overrides = None,
    device: Device = "auto",
    offline: Offline = False,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Put models side by side by the scores of checks.

    With 95 % intervals, and the differences to the first.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, scores

    common: Common = context.obj
    where, names = common.aimed(models or (), overrides, offline=offline, mirrors=mirrors)
    with common.reporter(progress) as report:
        found = use_cases.compare(where, names, use_cases.Options(jobs=jobs, device=device), report, only=only or ())
    common.out.say(json_document.document(found.to_json()) if json else scores.compared(found, common.out.look))

"""`modelbuild search`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, Overrides, Progress
from modelbuild.cli.options import Device, Jobs


def search(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SEARCH", help="A search, or a merge of method greedy_soup.", show_default=False)],
    jobs: Jobs = 0,
    overrides: Overrides = None,
    device: Device = "auto",
    offline: Offline = False,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Choose parameters, or a soup's ingredients, by checks.

    The winner and its trail go into the lock.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document, scores

    common: Common = context.obj
    where = common.where(overrides, offline=offline, mirrors=mirrors)
    with common.reporter(progress) as report:
        found = use_cases.search(where, name, use_cases.Options(jobs=jobs, device=device), report)
    common.out.say(json_document.document(found) if json else scores.searched(found, common.out.look))

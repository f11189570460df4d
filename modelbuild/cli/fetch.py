"""`modelbuild fetch`."""

from __future__ import annotations

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Overrides, Progress, Targets


def fetch(
    context: typer.Context,
    targets: Targets = None,
    overrides: Overrides = None,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Bring here what targets read of the hub, ahead of a build."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import screens

    common: Common = context.obj
    where, names = common.aimed(targets or (), overrides, mirrors=mirrors)
    with common.reporter(progress) as report:
        fetched = use_cases.fetch(where, names, report)
    if json:
        from modelbuild.report.json_document import document

        common.out.say(document({"sources": fetched}))
    elif not common.quiet:
        common.out.tell(screens.fetched(fetched))

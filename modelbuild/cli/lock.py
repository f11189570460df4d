"""`modelbuild lock`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Offline, Progress
from modelbuild.cli.completion import completed

_NAMES = typer.Argument(
    metavar="NAME[=REVISION]",
    help="With --upgrade: sources, and what to move them to; none: all.",
    show_default=False,
    autocompletion=completed("sources"),
)


def lock(
    context: typer.Context,
    names: Annotated[list[str] | None, _NAMES] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the lock is right; exit 3 if not.")] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Move pins to what the hub has now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would change, and write nothing.")] = False,
    offline: Offline = False,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Resolve sources to commits and digests in the lock."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import screens

    common: Common = context.obj
    where, sources = common.aimed(names or (), offline=offline)
    if sources and not upgrade:
        raise typer.BadParameter("names go with --upgrade")
    with common.reporter(progress) as report:
        view = use_cases.lock(where, sources if upgrade else None, report, check=check, dry_run=dry_run)
    if json:
        from modelbuild.report.json_document import document

        common.out.say(document(view))
    elif not common.quiet:
        common.out.tell(screens.locked(view))

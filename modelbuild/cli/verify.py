"""`modelbuild verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, Progress, Targets

if TYPE_CHECKING:
    from modelbuild.usecases.verifying import Verification

_SAMPLE = typer.Option(
    "--sample", min=1, metavar="N", help="With --rebuild: so many tensors of each target, at random.", show_default=False
)


def verify(
    context: typer.Context,
    targets: Targets = None,
    full: Annotated[bool, typer.Option("--full", help="Read all files, also those that nothing has touched.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Compute outputs again from their sources, and compare.")] = False,
    sample: Annotated[int | None, _SAMPLE] = None,
    offline: Offline = False,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    json: Json = False,
) -> None:
    """Hold lock, sources and outputs against their digests."""
    from modelbuild import usecases as use_cases

    common: Common = context.obj
    if sample and not rebuild:
        raise typer.BadParameter("--sample goes with --rebuild")
    where, names = common.aimed(targets or (), offline=offline, mirrors=mirrors)
    with common.reporter(progress) as report:
        found = use_cases.verify(where, names, report, full=full, rebuild=rebuild, sample=sample or 0)
    say(common, found, json=json)


def say(common: Common, found: Verification, *, json: bool) -> NoReturn:
    """Print what was found, and end with its exit code."""
    from modelbuild.report import screens

    if json:
        from modelbuild.report.json_document import document

        common.out.say(document(found))
    elif not common.quiet or found.findings:
        common.out.tell(screens.verified(found))
    raise typer.Exit(found.exit_code)

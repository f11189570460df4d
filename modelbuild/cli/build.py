"""`modelbuild build`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline, Overrides, Progress, Targets, parsed_size
from modelbuild.cli.verify import say

if TYPE_CHECKING:
    from modelbuild.events import Report
    from modelbuild.usecases import Outcome, Where

JOBS = typer.Option("--jobs", "-j", min=0, metavar="N", help="Threads; 0: one per core.", show_default=False)
_MEMORY = typer.Option("--memory", metavar="SIZE", parser=parsed_size, help='Such as "4GB"; default: half of what is available.')
_TRACE = typer.Option("--trace", metavar="FILE", help="Write what was done when, for Perfetto.", show_default=False)


def build(
    context: typer.Context,
    targets: Targets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say first of every stale tensor why it is.")] = False,
    jobs: Annotated[int, JOBS] = 0,
    force: Annotated[bool, typer.Option("--force", "-B", help="Run every action, whatever is known.")] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", "-k", help="Build what does not rest on what failed.")] = False,
    overrides: Overrides = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
    memory: Annotated[int | None, _MEMORY] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing: compute everything again, and compare.")] = False,
    locked: Annotated[bool, typer.Option("--locked", help="Go by the lock, which has to be right, and come out as it says.")] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Go by the pins of the lock, and leave it as it is.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Make exports of what is unchecked, and say so.")] = False,
    offline: Offline = False,
    mirrors: Mirrors = None,
    progress: Progress = "auto",
    trace: Annotated[Path | None, _TRACE] = None,
    json: Json = False,
) -> None:
    """Bring targets up to date."""
    from modelbuild import usecases as use_cases

    common: Common = context.obj
    if trace and (dry_run or check):
        raise typer.BadParameter("--trace traces a build: leave out --dry-run and --check")
    published = bool(targets) and (targets or [""])[0].startswith("hf://")
    find = common.received if published else common.aimed
    where, names = find(targets or (), overrides, offline=offline, mirrors=mirrors)
    options = use_cases.Options(jobs, force, keep_going, device, memory or 0, locked or (published and not frozen), frozen, no_check)
    if explain:
        _explain(common, where, names, force=force, talk=json)
    if check:
        with common.reporter(progress) as report:
            found = use_cases.verify(where, names, report, rebuild=True)
        say(common, found, json=json)
    if dry_run:
        with common.reporter(progress) as report:
            outcome = use_cases.forecast(where, names, options, report)
    else:
        with common.reporter(progress) as report, _traced(report, common.directory / trace if trace else None) as told:
            outcome = use_cases.build(where, names, options, told)
    if json:
        from modelbuild.report.json_document import document

        common.out.say(document(outcome.to_json()))
    tell(common, outcome, dry_run=dry_run, json=json)
    raise typer.Exit(outcome.exit_code)


@contextmanager
def _traced(report: Report, path: Path | None) -> Iterator[Report]:
    """Hand a report on, and write what it was told when all is over, however it ends; refuse at once a path that cannot be written to."""
    if path is None:
        yield report
        return
    from modelbuild.report.tracing import Trace
    from modelbuild.usecases.writing import refuse_nowhere, write

    refuse_nowhere(path)
    trace = Trace(report)
    try:
        yield trace
    except BaseException:
        with suppress(OSError):  # of two errors the first one tells
            write(path, trace.document())
        raise
    write(path, trace.document())


def tell(common: Common, outcome: Outcome, *, dry_run: bool = False, json: bool = False) -> None:
    """Say what a build came to; of a forecast, which is data, on stdout, unless that is kept for JSON."""
    from modelbuild.report import summary

    if outcome.problems:
        from modelbuild.report.problems import problems

        common.err.say(problems(outcome.problems, common.err.look))
    if (dry_run and json) or (common.quiet and not dry_run):
        return
    page = common.out if dry_run else common.err
    if not json and any(target.point for target in outcome.targets):
        from modelbuild.report import variants

        if table := variants.built(outcome.targets, page.look):
            page.say(table)
    page.say(summary.forecast(outcome, page.look) if dry_run else summary.summary(outcome, page.look))


def _explain(common: Common, where: Where, targets: tuple[str, ...], *, force: bool, talk: bool) -> None:
    """Say of every stale tensor why it is; on stdout, unless that is kept for JSON."""
    from modelbuild import usecases as use_cases
    from modelbuild.report import explanations

    if force:
        common.note("every action runs, because of --force")
        return
    page = common.err if talk else common.out
    told = use_cases.explain(where, [target.name for target in use_cases.status(where, targets)])
    text = explanations.explain(told, page.look, stale_only=True, each=common.verbose)
    if text:
        page.say(text)

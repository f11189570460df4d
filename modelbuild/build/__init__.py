"""The use cases: what the commands do, and the Python API.  Importing it is cheap; each use case imports what it needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelbuild.build import stamp
from modelbuild.build.outcome import Options, Outcome, from_stamp, peak_rss
from modelbuild.build.where import Where, cache_setting
from modelbuild.errors import Exit
from modelbuild.events import Noted, Report, Warned, silent

if TYPE_CHECKING:
    from modelbuild.build.inspect import Explanation, GraphView, MethodView, ShownTarget, TargetStatus

__all__ = ["Options", "Outcome", "Where", "build", "explain", "forecast", "graph", "methods", "show", "status"]


def build(where: Where, targets: Sequence[str] = (), options: Options | None = None, report: Report = silent) -> Outcome:
    """Bring targets up to date.

    Args:
        where: the Modelfile and its cache.
        targets: names of merges; none means the default ones.
        options: how.
        report: told of everything that happens.

    Returns:
        What was done; failures of single targets are in it.

    Raises:
        ModelbuildError: if nothing could be begun, with the exit code that fits.

    """
    options, started = options or Options(), time.perf_counter()
    text = stamp.read(where.file)
    left = stamp.stamp_path(where.cache_directory(cache_setting(text)), where.file, targets, where.overrides)
    known = None if options.force else stamp.fresh(left, text)
    if known is not None:
        return from_stamp(known, time.perf_counter() - started, peak_rss())
    from modelbuild.build.project import Project
    from modelbuild.build.run import Run

    project = Project.open(where)
    plan = project.plan(project.targets(targets))
    for note in plan.graph.notes:
        report(Noted(note))
    for warning in plan.warnings:
        report(Warned(warning))
    cache = project.cache()
    try:
        run = Run(plan, cache, options, report)
        outcome = run.run(started)
        project.remember(cache, run.keys())
        if outcome.exit_code == Exit.DONE:
            project.collect(cache, run.used_packs)
            stamp.leave(left, text, plan, outcome)
    finally:
        cache.close()
    return outcome


def forecast(where: Where, targets: Sequence[str] = (), options: Options | None = None) -> Outcome:
    """Say what `build` would do, without doing it: the same fields as an upper bound, exact where `exact` says so."""
    from modelbuild.build.forecast import forecast as use_case

    return use_case(where, targets, options or Options())


def status(where: Where, targets: Sequence[str] = ()) -> tuple[TargetStatus, ...]:
    """Say of each target whether it is fresh, or stale and why."""
    from modelbuild.build.inspect import status as use_case

    return use_case(where, targets)


def explain(where: Where, target: str, tensor: str = "") -> tuple[Explanation, ...]:
    """Say why tensors of a target are, or would be, rebuilt: field by field, old value and new value.

    Args:
        where: the Modelfile and its cache.
        target: a merge.
        tensor: one of its tensors, or "" for all.

    """
    from modelbuild.build.inspect import explain as use_case

    return use_case(where, target, tensor)


def show(where: Where, target: str) -> ShownTarget:
    """Return shapes, types, and the parameters as resolved for each tensor of a target, with keys where they are known."""
    from modelbuild.build.inspect import show as use_case

    return use_case(where, target)


def graph(where: Where, target: str = "") -> GraphView:
    """Return the graph of merges, or the part of it that a target rests on."""
    from modelbuild.build.inspect import graph as use_case

    return use_case(where, target)


def methods(name: str = "") -> tuple[MethodView, ...]:
    """Return the installed methods, or the one of that name, with their parameters."""
    from modelbuild.build.inspect import methods as use_case

    return use_case(name)

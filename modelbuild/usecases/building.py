"""A build: nothing where the stamp of the last one still holds, else from the Modelfile to outputs, records and log."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from modelbuild.errors import Exit
from modelbuild.names import VARIANT
from modelbuild.usecases import stamp
from modelbuild.usecases.outcome import Options, Outcome, from_stamp, peak_rss
from modelbuild.usecases.where import Where, cache_setting

if TYPE_CHECKING:
    from modelbuild.events import Report
    from modelbuild.plan import Plan

_VARIANT = re.compile(f"`([^`{VARIANT}]+){VARIANT}[^`]*`")


def build(where: Where, targets: tuple[str, ...], options: Options, report: Report) -> Outcome:
    """See `modelbuild.usecases.build`."""
    started = time.perf_counter()
    texts = tuple(map(stamp.read, where.files))
    text, lock, now = b"".join(texts), stamp.read(where.lock), time.time()
    left = stamp.stamp_path(where.cache_directory(cache_setting(where, text)), where, targets)
    known = None if options.force or (options.locked and (not lock or where.overrides)) else stamp.fresh(left, text, lock)
    if known is not None:
        return from_stamp(known, time.perf_counter() - started, peak_rss())
    from modelbuild.cache.hashes import FileHashes
    from modelbuild.engine.sources import SourceFiles
    from modelbuild.events import Noted, timed
    from modelbuild.usecases.delivering import Delivery
    from modelbuild.usecases.fetching import bring
    from modelbuild.usecases.locking import Keeper
    from modelbuild.usecases.project import Project
    from modelbuild.usecases.recording import Asked, record
    from modelbuild.usecases.run import Run
    from modelbuild.usecases.timing import Clock

    with timed(report, "plan"):
        project = Project.open(where)
        plan = project.plan(project.targets(targets))
    announce(plan, report)
    cache = project.cache()
    sources = SourceFiles(cache)
    keeper = Keeper(project, plan, FileHashes(cache.index), sources)
    try:
        keeper.hold(locked=options.locked, frozen=options.frozen)
        with timed(report, "fetch"):
            bring(plan, report)
        keeper.refuse_others()
        delivery = Delivery(project, plan, cache, targets, options, report)
        delivery.bring_back()
        delivery.refuse()
        clock = Clock(report)
        run = Run(plan, cache, sources, options, clock, keeper.expected() if options.locked else {}, exports=delivery.needed)
        outcome = run.run(started)
        with timed(report, "record"):
            project.remember(cache, run.keys(), clock.seconds)
        if outcome.exit_code == Exit.DONE:
            project.collect(cache, run.used_packs)
            if keeper.settle(outcome, run.device, locked=options.locked, frozen=options.frozen):
                report(Noted(f"wrote {where.lock}"))
        asked = Asked(now, targets, texts, stamp.read(where.lock), run.device)
        record(project, plan, cache, sources, asked, outcome, run.contents)
        outcome = delivery.deliver(outcome, started)
        if outcome.exit_code == Exit.DONE and not options.frozen and (keeper.is_complete or not options.locked):
            stamp.leave(left, text, asked.lock, plan, outcome, delivery.made)
    finally:
        sources.close()
        cache.close()
    return outcome


def announce(plan: Plan, report: Report) -> None:
    """Tell what a plan has to say; what is to be said of several variants of a merge, once."""
    from modelbuild.events import Noted, Warned

    for note in plan.graph.notes:
        report(Noted(note))
    alike: dict[str, list[str]] = {}
    for warning in plan.warnings:
        alike.setdefault(_VARIANT.sub(r"`\1`", warning), []).append(warning)
    for first, *others in alike.values():
        more = f" (and of {len(others)} more {'variant' if len(others) == 1 else 'variants'})" if others else ""
        report(Warned(f"{first}{more}"))

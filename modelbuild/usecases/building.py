"""A build: nothing where the stamp of the last one still holds, else from the Modelfile to outputs, records and log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modelbuild.errors import Exit
from modelbuild.names import is_device
from modelbuild.usecases import stamp
from modelbuild.usecases.outcome import Options, Outcome, from_stamp, peak_rss
from modelbuild.usecases.where import Where

if TYPE_CHECKING:
    from pathlib import Path

    from modelbuild.events import Report


def _fresh(stamps: tuple[Path, Path], where: Where, text: bytes, lock: bytes, options: Options) -> dict[str, Any] | None:
    """Return the outcome in a stamp that still holds; that of a build which asked no checks is for another such."""
    if options.force or (options.locked and (not lock or where.overrides)) or not is_device(options.device):
        return None
    outcomes = (stamp.fresh(path, text, lock, options.device) for path in (stamps if options.no_check else stamps[:1]))
    return next((one for one in outcomes if one is not None), None)


def build(where: Where, targets: tuple[str, ...], options: Options, report: Report) -> Outcome:
    """See `modelbuild.usecases.build`."""
    started = time.perf_counter()
    texts = tuple(map(stamp.read, where.files))
    text, lock, now = b"".join(texts), stamp.read(where.lock), time.time()
    checked, unchecked = stamp.stamps_of(where, text, targets)
    known = _fresh((checked, unchecked), where, text, lock, options)
    if known is not None:
        return from_stamp(known, time.perf_counter() - started, peak_rss())
    from modelbuild.events import Noted, timed
    from modelbuild.usecases.project import Project, tell_of

    with timed(report, "plan"):
        project = Project.open(where)
        plan = project.plan(project.targets(targets))
    # What computes is imported when there is something to be computed: a mistake is told before.
    from modelbuild.cache.hashes import FileHashes
    from modelbuild.engine.sources import SourceFiles
    from modelbuild.usecases.delivering import Delivery
    from modelbuild.usecases.fetching import bring
    from modelbuild.usecases.locking import Keeper
    from modelbuild.usecases.recording import Asked, record
    from modelbuild.usecases.run import Run
    from modelbuild.usecases.timing import Clock

    tell_of(plan, report)
    cache = project.cache()
    sources = SourceFiles(cache)
    keeper = Keeper(project, plan, FileHashes(cache.index), sources)
    try:
        keeper.hold(locked=options.locked, frozen=options.frozen)
        with timed(report, "fetch"):
            bring(plan, report)
        keeper.refuse_others()
        delivery = Delivery(project, plan, cache, sources, targets, options, report)
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
            stamp.leave(
                unchecked if options.no_check and delivery.exports else checked, text, asked.lock, plan, outcome, delivery.made, run.told
            )
    finally:
        sources.close()
        cache.close()
    return outcome

"""The use cases: what the commands do, and the Python API.  Importing it is cheap; each use case imports what it needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild.build import stamp
from modelbuild.build.outcome import Options, Outcome, from_stamp, peak_rss
from modelbuild.build.where import Where, cache_setting
from modelbuild.errors import Exit
from modelbuild.events import Noted, Report, Warned, silent

if TYPE_CHECKING:
    from modelbuild.build.cleaning import Cleaned
    from modelbuild.build.contrasting import Comparison
    from modelbuild.build.doctoring import Diagnosis
    from modelbuild.build.fetching import FetchedSource
    from modelbuild.build.housekeeping import CacheListing, CacheSize
    from modelbuild.build.inspect import Explanation, GraphView, MethodView, ShownTarget, TargetStatus
    from modelbuild.build.pinning import LockView
    from modelbuild.build.searching import Found
    from modelbuild.build.testing import Checked
    from modelbuild.build.verifying import Verification
    from modelbuild.cache.upkeep import Collected, Verified

__all__ = [
    "Options",
    "Outcome",
    "Where",
    "build",
    "cache_clean",
    "cache_gc",
    "cache_ls",
    "cache_size",
    "cache_verify",
    "clean",
    "compare",
    "diagnose",
    "explain",
    "export_mergekit",
    "fetch",
    "forecast",
    "gate",
    "graph",
    "import_mergekit",
    "init",
    "lock",
    "methods",
    "schema",
    "search",
    "show",
    "status",
    "test",
    "verify",
]


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
    text = b"".join(map(stamp.read, where.files))
    lock = stamp.read(where.lock)
    left = stamp.stamp_path(where.cache_directory(cache_setting(where, text)), where, targets)
    known = None if options.force or (options.locked and (not lock or where.overrides)) else stamp.fresh(left, text, lock)
    if known is not None:
        return from_stamp(known, time.perf_counter() - started, peak_rss())
    from modelbuild.build.fetching import bring
    from modelbuild.build.locking import Keeper
    from modelbuild.build.project import Project
    from modelbuild.build.run import Run
    from modelbuild.cache.hashes import FileHashes
    from modelbuild.engine.sources import SourceFiles

    project = Project.open(where)
    plan = project.plan(project.targets(targets))
    for note in plan.graph.notes:
        report(Noted(note))
    for warning in plan.warnings:
        report(Warned(warning))
    cache = project.cache()
    sources = SourceFiles(cache)
    keeper = Keeper(project, plan, FileHashes(cache.index), sources)
    try:
        keeper.hold(locked=options.locked, frozen=options.frozen)
        bring(plan, report)
        keeper.refuse_others()
        run = Run(plan, cache, sources, options, report, keeper.expected() if options.locked else {})
        outcome = run.run(started)
        project.remember(cache, run.keys())
        if outcome.exit_code == Exit.DONE:
            project.collect(cache, run.used_packs)
            if keeper.settle(outcome, run.device, locked=options.locked, frozen=options.frozen):
                report(Noted(f"wrote {where.lock}"))
            if not options.frozen and (keeper.is_complete or not options.locked):
                stamp.leave(left, text, stamp.read(where.lock), plan, outcome)
    finally:
        sources.close()
        cache.close()
    return outcome


def forecast(where: Where, targets: Sequence[str] = (), options: Options | None = None) -> Outcome:
    """Say what `build` would do, without doing it: the same fields as an upper bound, exact where `exact` says so."""
    from modelbuild.build.foretelling import forecast as use_case

    return use_case(where, targets, options or Options())


def verify(
    where: Where, targets: Sequence[str] = (), report: Report = silent, *, full: bool = False, rebuild: bool = False, sample: int = 0
) -> Verification:
    """Hold the lock against the Modelfile, and sources, outputs and packs against their digests.

    Args:
        where: the Modelfile and its cache.
        targets: names of merges; none means the default ones.
        report: told of what is rebuilt.
        full: read all files, also those that nothing has touched since they were last read.
        rebuild: compute tensors of the targets again from their sources, and compare.
        sample: how many of each target's tensors, drawn at random; 0 for all.

    """
    from modelbuild.build.verifying import verify as use_case

    return use_case(where, targets, report, full=full, rebuild=rebuild, sample=sample)


def test(
    where: Where,
    targets: Sequence[str] = (),
    options: Options | None = None,
    report: Report = silent,
    *,
    only: Sequence[str] = (),
    again: bool = False,
) -> Checked:
    """Build what is not fresh, and run its checks; what a record holds is not run again.

    Args:
        where: the Modelfile and its cache.
        targets: names of merges; none means the default ones.
        options: how to build; the device also runs the models.
        report: told of everything that happens.
        only: names and globs of checks; none means all.
        again: run all checks, whatever is known.

    Raises:
        ModelbuildError: exit 2 if a check makes no sense, 8 if one would run what a model writes, or what the build ends with.

    """
    from modelbuild.build.testing import test as use_case

    return use_case(where, targets, options, report, only=only, again=again)


def gate(
    where: Where, targets: Sequence[str], options: Options | None = None, report: Report = silent, *, no_check: bool = False
) -> Checked | None:
    """Let models out of the house only when their checks pass: what pushes or exports calls this first.

    Args:
        where: the Modelfile and its cache.
        targets: names of merges; they are built where they are stale.
        options: how to build them, and the device that runs them.
        report: told of everything, and warned where checks are left out.
        no_check: run none, and say so even to who wants quiet.

    Returns:
        What the checks said, or None where none were run.

    Raises:
        ModelbuildError: exit 1, with every check that fails, or as `test`.

    """
    from modelbuild.build.testing import gate as use_case

    return use_case(where, targets, options, report, no_check=no_check)


def compare(
    where: Where, models: Sequence[str] = (), options: Options | None = None, report: Report = silent, *, only: Sequence[str] = ()
) -> Comparison:
    """Put models side by side by the scores of the Modelfile's checks, with 95 % intervals of scores and of differences.

    Args:
        where: the Modelfile and its cache.
        models: sources and merges, the one that others are held against first; a single merge is compared with its parents.
        options: how to build the merges; the device also runs the models.
        report: told of everything that happens.
        only: names and globs of checks; none means all that give a score.

    """
    from modelbuild.build.contrasting import compare as use_case

    return use_case(where, models, options or Options(), report, only=only)


def search(where: Where, name: str, options: Options | None = None, report: Report = silent) -> Found:
    """Choose the values of a merge's keys, or the ingredients of a soup, by checks; the winner and its trail go into the lock.

    Args:
        where: the Modelfile and its cache.
        name: a search, or a merge of method `greedy_soup`.
        options: how to compute candidates; the device also runs the models.
        report: told of everything that happens.

    Raises:
        ModelbuildError: as `test`; or what a candidate ends with that cannot be computed or measured.

    """
    from modelbuild.build.searching import search as use_case

    return use_case(where, name, options or Options(), report)


def fetch(where: Where, targets: Sequence[str] = (), report: Report = silent) -> tuple[FetchedSource, ...]:
    """Bring here, and check, every file that targets read of a source on the hub.

    Raises:
        ModelbuildError: exit 4 if a file is not what the hub lists, 5 or 7 if the hub does not give it.

    """
    from modelbuild.build.fetching import fetch as use_case

    return use_case(where, targets, report)


def lock(
    where: Where, upgrade: Sequence[str] | None = None, report: Report = silent, *, check: bool = False, dry_run: bool = False
) -> LockView:
    """Write into the lock what is known without building: commits, digests, graphs.

    Args:
        where: the Modelfile and its cache.
        upgrade: sources whose pins are to be moved, each NAME or NAME=REVISION; () for all, None for none.
        report: told of what is fetched.
        check: write nothing, and refuse a lock that is not right.
        dry_run: write nothing, and say what would change.

    Raises:
        ModelbuildError: exit 3 if `check` finds the lock missing or stale.

    """
    from modelbuild.build.pinning import lock as use_case

    return use_case(where, upgrade, report, check=check, dry_run=dry_run)


def status(where: Where, targets: Sequence[str] = ()) -> tuple[TargetStatus, ...]:
    """Say of each target whether it is fresh, or stale and why."""
    from modelbuild.build.inspect import status as use_case

    return use_case(where, targets)


def explain(where: Where, target: str, tensor: str = "") -> tuple[Explanation, ...]:
    """Say why tensors of a target are, or would be, rebuilt: field by field, old value and new value.

    Args:
        where: the Modelfile and its cache.
        target: a merge; "" for the only one that is built by default.
        tensor: one of its tensors, or "" for all.

    """
    from modelbuild.build.inspect import explain as use_case

    return use_case(where, target, tensor)


def show(where: Where, target: str = "") -> ShownTarget:
    """Return shapes, types, and the parameters as resolved for each tensor of a target, with keys where they are known.

    Args:
        where: the Modelfile and its cache.
        target: a merge; "" for the only one that is built by default.

    """
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


def cache_ls(where: Where) -> CacheListing:
    """Return the packs of the cache, most recently used first; the Modelfile need not be sound, nor there."""
    from modelbuild.build.housekeeping import cache_ls as use_case

    return use_case(where)


def cache_size(where: Where) -> CacheSize:
    """Return how large the cache is and may be; the Modelfile need not be sound, nor there."""
    from modelbuild.build.housekeeping import cache_size as use_case

    return use_case(where)


def cache_gc(where: Where, max_size: int = 0) -> Collected:
    """Remove what no build can use, then packs, least recently used first, until they fit.

    Args:
        where: the Modelfile, which need not be sound nor there, and its cache.
        max_size: bytes that packs may occupy; 0 for `[cache] max_size`, else what the first build set.

    """
    from modelbuild.build.housekeeping import cache_gc as use_case

    return use_case(where, max_size)


def cache_verify(where: Where) -> Verified:
    """Hash every pack of the cache, and remove those that are not what their names say."""
    from modelbuild.build.housekeeping import cache_verify as use_case

    return use_case(where)


def cache_clean(where: Where) -> CacheSize:
    """Remove everything that the cache holds, and return how much that was; a README and the like in its directory stay.

    Raises:
        ModelbuildError: exit 8 if the directory is not a cache, or a build is using it.

    """
    from modelbuild.build.housekeeping import cache_clean as use_case

    return use_case(where)


def clean(where: Where, targets: Sequence[str] = ()) -> Cleaned:
    """Remove outputs that modelbuild made, and the stamps of their builds; never the cache, never a source.

    Args:
        where: the Modelfile and its cache.
        targets: names of merges; none means all.

    Raises:
        ModelbuildError: exit 8, with nothing removed, if something else stands where an output would, or a source does.

    """
    from modelbuild.build.cleaning import clean as use_case

    return use_case(where, targets)


def init(file: Path, template: str = "multi-stage", models: Sequence[str] = (), root: Path | None = None) -> Path:
    """Write a first Modelfile, to be changed, and return its path.

    Args:
        file: where.
        template: slerp, ties, frankenmerge, moe, multi-stage or soup.
        models: directories, or repositories on the hub, the base first; none for names to be changed.
        root: the directory that relative ones start from; None for the current one.

    Raises:
        ModelbuildError: exit 2 if there is one, if there is no such template, or it takes another number of models.

    """
    from modelbuild.build.starter import init as use_case

    return use_case(file, template, models, root)


def import_mergekit(configurations: Sequence[Path], output: Path | None = None, root: Path | None = None) -> tuple[str, tuple[str, ...]]:
    """Read mergekit configurations as one Modelfile; return its text, and what was taken another way than it was written.

    Args:
        configurations: YAML files; a model that one makes is that wherever another names it.
        output: where to write the Modelfile, or None.
        root: the directory that relative paths in them start from; None for the current one.

    Raises:
        ModelbuildError: exit 2, with everything that has no meaning here, by line, or if `output` exists; 5 if a file is missing.

    """
    from modelbuild.build.importing import import_mergekit as use_case

    return use_case(configurations, output, root or Path())


def export_mergekit(
    where: Where, target: str = "", output: Path | None = None, seen_from: Path | None = None
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Say merges in mergekit's words; return each file's path, "" where none is written, with its text, and what differs all the same.

    Args:
        where: the Modelfile.
        target: a merge; "" for those that are built by default.
        output: a file that ends in .yml or .yaml, a directory in which each target has one, or None.
        seen_from: the directory that paths of models are to start from; None for the current one.

    Raises:
        ModelbuildError: exit 2, with everything that mergekit has no words for, by key path, or if a file exists.

    """
    from modelbuild.build.exporting import export_mergekit as use_case

    return use_case(where, target, output, seen_from or Path())


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a Modelfile, with the methods that are installed."""
    from modelbuild.modelfile.json_schema import json_schema

    return json_schema()


def diagnose(where: Where, *, hub: bool = False) -> Diagnosis:
    """Look at what a build needs of this machine: versions, cache, devices, the Modelfile.

    Args:
        where: the Modelfile, which need not be sound nor there, and its cache.
        hub: ask the hub for the sources that are there; without it no network is used.

    """
    from modelbuild.build.doctoring import diagnose as use_case

    return use_case(where, hub=hub)

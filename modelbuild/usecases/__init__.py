"""The use cases: what the commands do, and the Python API, which `modelbuild` has by name.

Importing it is cheap; each use case imports what it needs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from modelbuild.errors import Exit
from modelbuild.events import Noted, Report, Warned, silent
from modelbuild.usecases import stamp
from modelbuild.usecases.outcome import Options, Outcome, from_stamp, peak_rss
from modelbuild.usecases.where import File, Place, Where, Words, at, cache_setting, words

if TYPE_CHECKING:
    from modelbuild.cache.upkeep import Collected, Verified
    from modelbuild.usecases.cleaning import Cleaned
    from modelbuild.usecases.completing import Kind
    from modelbuild.usecases.doctoring import Diagnosis
    from modelbuild.usecases.fetching import FetchedSource
    from modelbuild.usecases.housekeeping import CacheListing, CacheSize
    from modelbuild.usecases.inspect import Explanation, GraphView, MethodView, ShownTarget, TargetStatus
    from modelbuild.usecases.pinning import LockView
    from modelbuild.usecases.verifying import Verification

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
    "diagnose",
    "explain",
    "export_mergekit",
    "fetch",
    "forecast",
    "import_mergekit",
    "init",
    "list_methods",
    "lock",
    "names",
    "schema",
    "show",
    "status",
    "verify",
    "view_graph",
    "watch",
]


def build(
    file: Where | File, targets: Words = (), options: Options | None = None, report: Report = silent, **place: Unpack[Place]
) -> Outcome:
    """Bring targets up to date.

    Args:
        file: the Modelfile.
        targets: names of merges and groups, and globs; none means the default ones.
        options: how.
        report: told of everything that happens.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Returns:
        What was done; failures of single targets are in it.

    Raises:
        ModelbuildError: if nothing could be begun, with the exit code that fits.

    """
    options, started = options or Options(), time.perf_counter()
    where, targets = at(file, place), words(targets)
    text = b"".join(map(stamp.read, where.files))
    lock = stamp.read(where.lock)
    left = stamp.stamp_path(where.cache_directory(cache_setting(where, text)), where, targets)
    known = None if options.force or (options.locked and (not lock or where.overrides)) else stamp.fresh(left, text, lock)
    if known is not None:
        return from_stamp(known, time.perf_counter() - started, peak_rss())
    from modelbuild.cache.hashes import FileHashes
    from modelbuild.engine.sources import SourceFiles
    from modelbuild.usecases.fetching import bring
    from modelbuild.usecases.locking import Keeper
    from modelbuild.usecases.project import Project
    from modelbuild.usecases.run import Run

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


def forecast(file: Where | File, targets: Words = (), options: Options | None = None, **place: Unpack[Place]) -> Outcome:
    """Say what `build` would do, without doing it: the same fields as an upper bound, exact where `exact` says so."""
    from modelbuild.usecases.foretelling import forecast as use_case

    return use_case(at(file, place), words(targets), options or Options())


def watch(file: Where | File, **place: Unpack[Place]) -> Iterator[int]:
    """Yield at once, and again whenever the Modelfile or a file of a source here was saved: how many files are watched.

    What is saved while the caller builds counts.
    """
    from modelbuild.usecases.watching import watch as use_case

    return use_case(at(file, place))


def verify(
    file: Where | File,
    targets: Words = (),
    report: Report = silent,
    *,
    full: bool = False,
    rebuild: bool = False,
    sample: int = 0,
    **place: Unpack[Place],
) -> Verification:
    """Hold the lock against the Modelfile, and sources, outputs and packs against their digests.

    Args:
        file: the Modelfile.
        targets: names of merges and groups, and globs; none means the default ones.
        report: told of what is rebuilt.
        full: read all files, also those that nothing has touched since they were last read.
        rebuild: compute tensors of the targets again from their sources, and compare.
        sample: how many of each target's tensors, drawn at random; 0 for all.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.verifying import verify as use_case

    return use_case(at(file, place), words(targets), report, full=full, rebuild=rebuild, sample=sample)


def fetch(file: Where | File, targets: Words = (), report: Report = silent, **place: Unpack[Place]) -> tuple[FetchedSource, ...]:
    """Bring here, and check, every file that targets read of a source on the hub.

    Raises:
        ModelbuildError: exit 4 if a file is not what the hub lists, 5 or 7 if the hub does not give it.

    """
    from modelbuild.usecases.fetching import fetch as use_case

    return use_case(at(file, place), words(targets), report)


def lock(
    file: Where | File,
    upgrade: Sequence[str] | None = None,
    report: Report = silent,
    *,
    check: bool = False,
    dry_run: bool = False,
    **place: Unpack[Place],
) -> LockView:
    """Write into the lock what is known without building: commits, digests, graphs.

    Args:
        file: the Modelfile.
        upgrade: sources whose pins are to be moved, each NAME or NAME=REVISION; () for all, None for none.
        report: told of what is fetched.
        check: write nothing, and refuse a lock that is not right.
        dry_run: write nothing, and say what would change.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 3 if `check` finds the lock missing or stale.

    """
    from modelbuild.usecases.pinning import lock as use_case

    return use_case(at(file, place), upgrade, report, check=check, dry_run=dry_run)


def status(file: Where | File, targets: Words = (), **place: Unpack[Place]) -> tuple[TargetStatus, ...]:
    """Say of each target whether it is fresh, or stale and why."""
    from modelbuild.usecases.inspect import status as use_case

    return use_case(at(file, place), words(targets))


def explain(file: Where | File, target: str, tensor: str = "", **place: Unpack[Place]) -> tuple[Explanation, ...]:
    """Say why tensors of a target are, or would be, rebuilt: field by field, old value and new value.

    Args:
        file: the Modelfile.
        target: a merge, a group or a glob; "" for the only one that is built by default.
        tensor: one of their tensors, or "" for all.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.inspect import explain as use_case

    return use_case(at(file, place), target, tensor)


def show(file: Where | File, targets: Words = (), **place: Unpack[Place]) -> tuple[ShownTarget, ...]:
    """Return of each target the shapes, types, and parameters as resolved for each tensor, with keys where they are known.

    Args:
        file: the Modelfile.
        targets: merges, groups, globs; none means the only one that is built by default.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.inspect import show as use_case

    return use_case(at(file, place), words(targets))


def view_graph(file: Where | File, target: str = "", **place: Unpack[Place]) -> GraphView:
    """Return the graph of merges, or the part of it that a target, a group or what a glob matches rests on."""
    from modelbuild.usecases.inspect import graph as use_case

    return use_case(at(file, place), target)


def list_methods(name: str = "") -> tuple[MethodView, ...]:
    """Return the installed methods, or the one of that name, with their parameters."""
    from modelbuild.usecases.inspect import methods as use_case

    return use_case(name)


def names(file: Where | File, kind: Kind, **place: Unpack[Place]) -> tuple[str, ...]:
    """Return the names that a word may be completed to, without reading more than the text of the Modelfile: none where it is not sound.

    Args:
        file: the Modelfile.
        kind: "targets", "sources", "methods" or "templates" of `init`.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.completing import names as use_case

    return use_case(at(file, place), kind)


def cache_ls(file: Where | File, **place: Unpack[Place]) -> CacheListing:
    """Return the packs of the cache, most recently used first; the Modelfile need not be sound, nor there."""
    from modelbuild.usecases.housekeeping import cache_ls as use_case

    return use_case(at(file, place))


def cache_size(file: Where | File, **place: Unpack[Place]) -> CacheSize:
    """Return how large the cache is and may be; the Modelfile need not be sound, nor there."""
    from modelbuild.usecases.housekeeping import cache_size as use_case

    return use_case(at(file, place))


def cache_gc(file: Where | File, max_size: int = 0, **place: Unpack[Place]) -> Collected:
    """Remove what no build can use, then packs, least recently used first, until they fit.

    Args:
        file: the Modelfile, which need not be sound nor there, and its cache.
        max_size: bytes that packs may occupy; 0 for `[cache] max_size`, else what the first build set.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.housekeeping import cache_gc as use_case

    return use_case(at(file, place), max_size)


def cache_verify(file: Where | File, **place: Unpack[Place]) -> Verified:
    """Hash every pack of the cache, and remove those that are not what their names say."""
    from modelbuild.usecases.housekeeping import cache_verify as use_case

    return use_case(at(file, place))


def cache_clean(file: Where | File, **place: Unpack[Place]) -> CacheSize:
    """Remove everything that the cache holds, and return how much that was; a README and the like in its directory stay.

    Raises:
        ModelbuildError: exit 8 if the directory is not a cache, or a build is using it.

    """
    from modelbuild.usecases.housekeeping import cache_clean as use_case

    return use_case(at(file, place))


def clean(file: Where | File, targets: Words = (), **place: Unpack[Place]) -> Cleaned:
    """Remove outputs that modelbuild made, and the stamps of their builds; never the cache, never a source.

    Args:
        file: the Modelfile.
        targets: names of merges and groups, and globs; none means all.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 8, with nothing removed, if something else stands where an output would, or a source does.

    """
    from modelbuild.usecases.cleaning import clean as use_case

    return use_case(at(file, place), words(targets))


def init(file: File, template: str = "multi-stage", models: Sequence[str] = (), root: File = "") -> Path:
    """Write a first Modelfile, to be changed, and return its path.

    Args:
        file: where.
        template: slerp, ties, frankenmerge, moe, multi-stage or soup.
        models: directories, or repositories on the hub, the base first; none for names to be changed.
        root: the directory that relative ones start from; by default the current one.

    Raises:
        ModelbuildError: exit 2 if there is one, if there is no such template, or it takes another number of models.

    """
    from modelbuild.usecases.starter import init as use_case

    return use_case(Path(file), template, models, Path(root))


def import_mergekit(configurations: Sequence[File], output: File | None = None, root: File = "") -> tuple[str, tuple[str, ...]]:
    """Read mergekit configurations as one Modelfile; return its text, and what was taken another way than it was written.

    Args:
        configurations: YAML files; a model that one makes is that wherever another names it.
        output: where to write the Modelfile, or None.
        root: the directory that relative paths in them start from; by default the current one.

    Raises:
        ModelbuildError: exit 2, with everything that has no meaning here, by line, or if `output` exists; 5 if a file is missing.

    """
    from modelbuild.usecases.importing import import_mergekit as use_case

    return use_case([*map(Path, configurations)], None if output is None else Path(output), Path(root))


def export_mergekit(
    file: Where | File, targets: Words = (), output: File | None = None, seen_from: File = "", **place: Unpack[Place]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Say merges in mergekit's words; return each file's path, "" where none is written, with its text, and what differs all the same.

    Args:
        file: the Modelfile.
        targets: merges, groups, globs; none means those that are built by default.
        output: a file that ends in .yml or .yaml, a directory in which each target has one, or None.
        seen_from: the directory that paths of models are to start from; by default the current one.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 2, with everything that mergekit has no words for, by key path, or if a file exists.

    """
    from modelbuild.usecases.exporting import export_mergekit as use_case

    return use_case(at(file, place), words(targets), None if output is None else Path(output), Path(seen_from))


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a Modelfile, with the methods that are installed."""
    from modelbuild.modelfile.json_schema import json_schema

    return json_schema()


def diagnose(file: Where | File, *, hub: bool = False, **place: Unpack[Place]) -> Diagnosis:
    """Look at what a build needs of this machine: versions, cache, devices, the Modelfile.

    Args:
        file: the Modelfile, which need not be sound nor there, and its cache.
        hub: ask the hub for the sources that are there; without it no network is used.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.doctoring import diagnose as use_case

    return use_case(at(file, place), hub=hub)

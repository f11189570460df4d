"""The use cases: what the commands do, and the Python API, which `modelbuild` has by name.

Importing it is cheap; each use case imports what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from modelbuild.usecases.outcome import Options, Outcome
from modelbuild.usecases.where import File, Place, Where, Words, at, words

if TYPE_CHECKING:
    from modelbuild.cache.builds import PastBuild
    from modelbuild.cache.upkeep import Collected, Verified
    from modelbuild.events import Event, Report
    from modelbuild.usecases.catalogue import MethodView
    from modelbuild.usecases.cleaning import Cleaned
    from modelbuild.usecases.completing import Kind
    from modelbuild.usecases.contrasting import Contrasts
    from modelbuild.usecases.diffing import Comparison
    from modelbuild.usecases.doctoring import Diagnosis
    from modelbuild.usecases.explaining import Explanation
    from modelbuild.usecases.fetching import FetchedSource
    from modelbuild.usecases.freshness import TargetStatus
    from modelbuild.usecases.graphing import GraphView
    from modelbuild.usecases.housekeeping import CacheListing, CacheSize
    from modelbuild.usecases.inspect import ShownTarget
    from modelbuild.usecases.logbook import LoggedBuild
    from modelbuild.usecases.pinning import LockView
    from modelbuild.usecases.pushing import Pushed
    from modelbuild.usecases.reaching import Reach
    from modelbuild.usecases.reporting import ReportView
    from modelbuild.usecases.restoring import Restored
    from modelbuild.usecases.searching import Found
    from modelbuild.usecases.testing import Checked
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
    "card",
    "checkout",
    "clean",
    "compare",
    "diagnose",
    "diff",
    "explain",
    "export_mergekit",
    "fetch",
    "forecast",
    "gate",
    "import_mergekit",
    "init",
    "list_methods",
    "lock",
    "log",
    "logged",
    "names",
    "push",
    "restore",
    "schema",
    "search",
    "show",
    "status",
    "test",
    "verify",
    "view_graph",
    "view_report",
    "watch",
    "why",
]


def silent(event: Event) -> None:
    """Show nothing of what happens: what a report does where none is given."""


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
    from modelbuild.usecases.building import build as use_case

    return use_case(at(file, place), words(targets), options or Options(), report)


def forecast(
    file: Where | File, targets: Words = (), options: Options | None = None, report: Report = silent, **place: Unpack[Place]
) -> Outcome:
    """Say what `build` would do, without doing it: the same fields as an upper bound, exact where `exact` says so.

    `report` is told the notes and warnings that a build would have.
    """
    from modelbuild.usecases.foretelling import forecast as use_case

    return use_case(at(file, place), words(targets), options or Options(), report)


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


def test(
    file: Where | File,
    targets: Words = (),
    options: Options | None = None,
    report: Report = silent,
    *,
    only: Words = (),
    again: bool = False,
    **place: Unpack[Place],
) -> Checked:
    """Build what is not fresh, and run its checks; what a record holds is not run again.

    Args:
        file: the Modelfile.
        targets: names of merges and groups, and globs; none means the default ones.
        options: how to build; the device also runs the models.
        report: told of everything that happens.
        only: names and globs of checks; none means all.
        again: run all checks, whatever is known.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 2 if a check makes no sense, 8 if one would run what a model writes, or what the build ends with.

    """
    from modelbuild.usecases.testing import test as use_case

    return use_case(at(file, place), words(targets), options or Options(), report, only=words(only), again=again)


def gate(
    file: Where | File,
    targets: Words = (),
    options: Options | None = None,
    report: Report = silent,
    *,
    no_check: bool = False,
    **place: Unpack[Place],
) -> Checked | None:
    """Let models out of the house only when their checks pass: what hands models on calls this first, as `push` and exports do.

    Args:
        file: the Modelfile.
        targets: names of merges and groups, and globs; what they mean is built where it is stale.
        options: how to build, and the device that runs the models.
        report: told of everything, and warned where checks are left out.
        no_check: run none, and say so even to who wants quiet.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Returns:
        What the checks said, or None where none were run.

    Raises:
        ModelbuildError: exit 1, with every check that fails, or as `test`.

    """
    from modelbuild.usecases.gating import gate as use_case

    return use_case(at(file, place), words(targets), options or Options(), report, no_check=no_check)


def compare(
    file: Where | File,
    models: Words = (),
    options: Options | None = None,
    report: Report = silent,
    *,
    only: Words = (),
    **place: Unpack[Place],
) -> Contrasts:
    """Put models side by side by the scores of the Modelfile's checks, with 95 % intervals of scores and of differences.

    Args:
        file: the Modelfile.
        models: sources and merges, the one that others are held against first; a single merge is compared with its parents.
        options: how to build the merges; the device also runs the models.
        report: told of everything that happens.
        only: names and globs of checks; none means all that give a score.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.contrasting import compare as use_case

    return use_case(at(file, place), words(models), options or Options(), report, only=words(only))


def search(file: Where | File, name: str, options: Options | None = None, report: Report = silent, **place: Unpack[Place]) -> Found:
    """Choose the values of a merge's keys, or the ingredients of a soup, by checks; the winner and its trail go into the lock.

    Args:
        file: the Modelfile.
        name: a search, or a merge of method `greedy_soup`.
        options: how to compute candidates; the device also runs the models.
        report: told of everything that happens.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: as `test`; or what a candidate ends with that cannot be computed or measured.

    """
    from modelbuild.usecases.searching import search as use_case

    return use_case(at(file, place), name, options or Options(), report)


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


def card(
    file: Where | File,
    target: str = "",
    report: Report = silent,
    *,
    to: str = "",
    output: File | None = None,
    recipe: bool = False,
    **place: Unpack[Place],
) -> str:
    """Return the model card that `push` would publish.

    Args:
        file: the Modelfile.
        target: a merge; "" for the only one that is built by default.
        report: told of licences that are not known, or pull apart.
        to: where it is to be published, hf://namespace/name[@branch]; "" for `output.push`, if that is there.
        output: a file to write it to, which must not exist, or None.
        recipe: of a recipe without weights.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 8 if it would say what is this machine's alone.

    """
    from modelbuild.usecases.describing import card as use_case

    return use_case(at(file, place), target, report, to=to, output=None if output is None else Path(output), recipe=recipe)


def push(
    file: Where | File,
    target: str = "",
    report: Report = silent,
    *,
    to: str = "",
    dry_run: bool = False,
    private: bool = False,
    message: str = "",
    recipe: bool = False,
    card: File | None = None,
    no_check: bool = False,
    **place: Unpack[Place],
) -> Pushed:
    """Publish a target on a hub in one commit: what the repository lacks of its files, with card, Modelfile and lock.

    Args:
        file: the Modelfile.
        target: a merge; "" for the only one that is built by default.  It is built if it is not fresh.
        report: told of what is built and sent.
        to: hf://namespace/name[@branch]; "" for `output.push` of the target.
        dry_run: only say what would be sent.
        private: make the repository private, and refuse one that is not.
        message: of the commit; "" for one that names target and digest.
        recipe: send Modelfile, lock and card, and no weights.
        card: a card to send in place of the one that is made, or None.
        no_check: leave out the checks of the target, and say so.
        place: `cache`, `sources`: see `modelbuild.usecases.where.Place`; `set` and `offline` are refused.

    Raises:
        ModelbuildError: exit 1 if a check fails; 7 if the hub does not take it, with what to do; 8 if it would tell what is this machine's
            alone, or would replace what modelbuild did not publish; 4 if an output is not what the lock says.

    """
    from modelbuild.usecases.pushing import Manner
    from modelbuild.usecases.pushing import push as use_case

    manner = Manner(to, dry_run, private, message, recipe, None if card is None else Path(card), no_check)
    return use_case(at(file, place), target, manner, report)


def checkout(
    address: str,
    directory: File = "",
    report: Report = silent,
    *,
    cache: File = "",
    offline: bool = False,
    sources: Mapping[str, File] | None = None,
) -> Where:
    """Bring a recipe that was published here, and return where it is: `build` takes that, with `locked`, in place of a Modelfile.

    Args:
        address: hf://namespace/name[@revision].
        directory: in which it is put, as a directory of the repository's name; by default the current one.
        report: told of it.
        cache: the directory of the cache; without it the Modelfile says.
        offline: ask no hub: what was fetched before has to do.
        sources: where sources are that lie on no hub, by name.

    Raises:
        ModelbuildError: exit 5 if there is no recipe, or a source that nobody else has is not here; 8 if it would write or read
            outside of its directory, or another recipe stands there.

    """
    from modelbuild.usecases.receiving import checkout as use_case

    mirrors = tuple((name, str(path)) for name, path in (sources or {}).items())
    return use_case(address, Path(directory), report, cache=str(cache), offline=offline, mirrors=mirrors)


def status(file: Where | File, targets: Words = (), **place: Unpack[Place]) -> tuple[TargetStatus, ...]:
    """Say of each target whether it is fresh, or stale and why."""
    from modelbuild.usecases.freshness import status as use_case

    return use_case(at(file, place), words(targets))


def explain(file: Where | File, targets: Words, tensor: str = "", **place: Unpack[Place]) -> tuple[Explanation, ...]:
    """Say why tensors of targets are, or would be, rebuilt: field by field, old value and new value.

    Args:
        file: the Modelfile.
        targets: merges, groups and globs; none, or "", for the only one that is built by default.
        tensor: one of their tensors, or "" for all.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.explaining import explain as use_case

    return use_case(at(file, place), tuple(filter(None, words(targets))), tensor)


def why(file: Where | File, first: str, last: str, **place: Unpack[Place]) -> Reach:
    """Return a path from one model, or tensor, to another that rests on it; in whichever order they are named.

    Args:
        file: the Modelfile.
        first: NODE or NODE::TENSOR.
        last: another one.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.reaching import why as use_case

    return use_case(at(file, place), first, last)


def log(file: Where | File, **place: Unpack[Place]) -> tuple[PastBuild, ...]:
    """Return the past builds of a project that the cache remembers, the latest first; the Modelfile need not be sound, nor there."""
    from modelbuild.usecases.logbook import log as use_case

    return use_case(at(file, place))


def logged(file: Where | File, build: str, **place: Unpack[Place]) -> LoggedBuild:
    """Return one past build whole: what it was asked for, with the text of the Modelfile and of the lock as they were.

    Args:
        file: the Modelfile, which need not be sound nor there.
        build: its id, or how that starts.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 2 if there is no such build, or several.

    """
    from modelbuild.usecases.logbook import logged as use_case

    return use_case(at(file, place), build)


def restore(
    file: Where | File,
    build: str,
    targets: Words = (),
    output: File | None = None,
    options: Options | None = None,
    report: Report = silent,
    **place: Unpack[Place],
) -> tuple[Restored, ...]:
    """Make outputs of a past build again: of packs that the cache has kept, else from the Modelfile and the lock of then.

    Args:
        file: the Modelfile as it is now.
        build: the id of the build, or how that starts.
        targets: which of its outputs: merges, sweeps and globs of their names; none means all.
        output: where it is to go, if it is a single one; None for where the Modelfile as it is now has it.
        options: how, where something has to be computed.
        report: told of what is computed.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Raises:
        ModelbuildError: exit 4 if what comes out is not the recorded output, 8 if something else stands where it would go; either way
            what stood there stands.

    """
    from modelbuild.usecases.restoring import restore as use_case

    to = None if output is None else Path(output)
    return use_case(at(file, place), build, tuple(filter(None, words(targets))), to, options or Options(), report)


def diff(file: Where | File, first: str, second: str, root: File = "", **place: Unpack[Place]) -> tuple[Comparison, ...]:
    """Compare models: what they were asked for, and how far apart the tensors are whose digests differ.

    Args:
        file: the Modelfile.
        first: a merge, a source, a past build (ID or ID::TARGET), a directory or a safetensors file.
        second: what it is compared with.
        root: the directory that paths start from; by default the current one.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    Returns:
        One comparison; of two builds one for each target that both have.

    Raises:
        ModelbuildError: exit 2 if a name means nothing, 5 if a file cannot be read.

    """
    from modelbuild.usecases.diffing import diff as use_case

    return use_case(at(file, place), first, second, Path(root))


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
    from modelbuild.usecases.graphing import graph as use_case

    return use_case(at(file, place), target)


def view_report(file: Where | File, target: str = "", told: Report = silent, **place: Unpack[Place]) -> ReportView:
    """Return all that is known of a target: its graph, parameters as resolved, what was measured of its tensors, time, lineage.

    What was not measured before is measured now, in one pass over what was merged and what came of it, and kept.

    Args:
        file: the Modelfile.
        target: a merge; "" for the only one that is built by default.  It need not be built: then nothing is measured.
        told: told of what is measured.
        place: `set`, `cache`, `sources`, `offline`: see `modelbuild.usecases.where.Place`.

    """
    from modelbuild.usecases.reporting import report as use_case

    return use_case(at(file, place), target, told)


def list_methods(name: str = "") -> tuple[MethodView, ...]:
    """Return the installed methods, or the one of that name, with their parameters."""
    from modelbuild.usecases.catalogue import methods as use_case

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

"""Files of hub sources brought here ahead of a build: those that targets read, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from modelbuild.events import Advanced, Fetched, Fetching, Report
from modelbuild.plan import Plan
from modelbuild.sources.checkpoint import Checkpoint
from modelbuild.sources.hub import HubFolder
from modelbuild.usecases.project import Project
from modelbuild.usecases.where import Where


class FetchedSource(Struct, frozen=True):
    """A source on the hub, complete: what it resolved to, the files that targets read, and how many of them had to be brought."""

    name: str
    commit: str
    files: tuple[str, ...]
    nbytes: int
    brought: int


def fetch(where: Where, targets: Sequence[str], report: Report) -> tuple[FetchedSource, ...]:
    """See `modelbuild.usecases.fetch`."""
    project = Project.open(where)
    return bring(project.plan(project.targets(targets)), report)


def bring(plan: Plan, report: Report) -> tuple[FetchedSource, ...]:
    """Bring and check every file of a hub source that the targets of a plan read.

    Raises:
        ModelbuildError: exit 4 if a file is not what the hub lists, 5 or 7 if the hub does not give it.

    """
    return tuple(
        _brought(plan, checkpoint, checkpoint.folder, files, report)
        for checkpoint, files in used_files(plan).items()
        if isinstance(checkpoint.folder, HubFolder)
    )


def _brought(plan: Plan, checkpoint: Checkpoint, folder: HubFolder, names: tuple[str, ...], report: Report) -> FetchedSource:
    brought = 0
    for name in names:
        report(Fetching(checkpoint.name, name, folder.listing[name].size))
        if folder.is_partial(name):
            path = folder.path(name)
            nbytes = folder.fetch_tensors(name, [leaf.info for leaf in plan.leaves if leaf.info.path == path])
        else:
            nbytes = folder.listing[name].size if folder.fetch(name, lambda arrived: report(Advanced(arrived))) else 0
        if nbytes:
            brought += 1
            report(Fetched(checkpoint.name, name, nbytes))
    return FetchedSource(checkpoint.name, folder.commit, names, sum(folder.listing[name].size for name in names), brought)


def used_files(plan: Plan) -> Mapping[Checkpoint, tuple[str, ...]]:
    """Return which files of each source the targets of a plan read: weights on live edges, and what goes along."""
    paths: set[Path] = {leaf.info.path for leaf in plan.leaves}
    paths |= {path for target in plan.targets.values() for path in target.along.carried.values()}
    table = {}
    for checkpoint in plan.checkpoints.values():
        own = [*checkpoint.weights, *checkpoint.carried.values()]
        table[checkpoint] = tuple(sorted(path.name for path in own if path in paths))
    return {checkpoint: names for checkpoint, names in table.items() if names}

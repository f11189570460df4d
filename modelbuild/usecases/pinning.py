"""The lock command: what is known of a project pinned, checked, or moved on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from modelbuild.cache.hashes import FileHashes
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem, did_you_mean
from modelbuild.events import Fetched, Report
from modelbuild.lockfile import Lock, LockedSource
from modelbuild.plan import Leaf, Plan
from modelbuild.sources.asking import Address
from modelbuild.sources.hub import HubFolder, is_hub, open_hub, parse_address
from modelbuild.usecases.locking import Keeper
from modelbuild.usecases.project import Project
from modelbuild.usecases.where import Where


class Moved(Struct, frozen=True):
    """What a lock says otherwise of a source than the one before: its commit, files, and tensors as far as they can be told."""

    source: str
    before: str
    after: str
    files: tuple[str, ...]
    tensors: tuple[str, ...]


class LockView(Struct, frozen=True):
    """What became of the lock.

    Args:
        path: the lock.
        state: "written", "unchanged", or of a dry run "would change".
        moved: sources that were moved.
        dirtied: merges whose outputs no longer are what was locked.
        sources: how many are locked.
        merges: how many are locked.

    """

    path: str
    state: str
    moved: tuple[Moved, ...]
    dirtied: tuple[str, ...]
    sources: int
    merges: int


def lock(where: Where, upgrade: Sequence[str] | None, report: Report, *, check: bool, dry_run: bool) -> LockView:
    """See `modelbuild.usecases.lock`."""
    project = Project.open(where)
    if where.overrides:
        raise ModelbuildError(Problem("a lock is of the Modelfile as it stands", hint="write the overrides into it"))
    before = project.lock or Lock()
    if upgrade is not None:
        project = replace(project, lock=_unpinned(project, upgrade))
    plan = project.plan(project.modelfile.merges or project.targets(()))
    cache = project.cache()
    sources = SourceFiles(cache)
    try:
        keeper = Keeper(project, plan, FileHashes(cache.index), sources)
        if check:
            keeper.refuse_stale()
            return LockView(str(where.lock), "unchanged", (), (), len(before.sources), len(before.merges))
        moved = tuple(_moved(project, plan, before, sources, report)) if upgrade is not None else ()
        keeper = replace(keeper, project=replace(project, lock=before))
        after = keeper.completed(read=True)
        dirtied = tuple(
            name for name, merge in before.merges.items() if merge.root and not (name in after.merges and after.merges[name].root)
        )
        changes = after != before or project.lock is None
        state = "unchanged" if not changes else "would change" if dry_run else "written"
        if changes and not dry_run:
            keeper.write(after)
        sources.remember()
        return LockView(str(where.lock), state, moved, dirtied, len(after.sources), len(after.merges))
    finally:
        sources.close()
        cache.close()


def _unpinned(project: Project, names: Sequence[str]) -> Lock:
    """Return the lock with the pins of some sources, or of all, moved to what they are on the hub now."""
    wanted = {name: revision for name, _, revision in (one.partition("=") for one in names)}
    hub = {name: source for name, source in project.modelfile.sources.items() if is_hub(source.location)}
    problems = [
        Problem(
            f"no source on the hub is called `{name}`", facts=(f"on the hub: {', '.join(hub) or 'none'}",), hint=did_you_mean(name, hub)
        )
        for name in wanted
        if name not in hub
    ]
    if problems:
        raise ModelbuildError(problems)
    if project.where.offline:
        raise ModelbuildError(Problem("pins are moved to what the hub has now", hint="leave out --offline"), Exit.NETWORK)
    held = project.lock or Lock()
    sources = dict(held.sources)
    for name in wanted or hub:
        address = parse_address(hub[name].location)
        found = open_hub(Address(address.repo, wanted.get(name) or address.revision), "", offline=False)
        sources[name] = LockedSource(hub[name].location, found.commit)
    return replace(held, sources=sources)


def _moved(project: Project, plan: Plan, before: Lock, sources: SourceFiles, report: Report) -> Iterator[Moved]:
    """Compare each source on the hub with the commit it was pinned to, reading the weights that differ."""
    for name, checkpoint in plan.checkpoints.items():
        old, folder = before.sources.get(name), checkpoint.folder
        if not isinstance(folder, HubFolder) or old is None or not old.commit or old.commit == folder.commit:
            continue
        address = parse_address(project.modelfile.sources[name].location)
        past = open_hub(address, old.commit, offline=False)
        files = sorted(file for file in {*past.listing, *folder.listing} if past.listing.get(file) != folder.listing.get(file))
        held = {path.name for path in checkpoint.weights}
        weights = [file for file in files if file in held]
        now = _digests(folder, weights, sources, report, name)
        then = _digests(past, [file for file in files if file in past.listing and file.endswith(".safetensors")], sources, report, name)
        tensors = sorted(tensor for tensor in {*now, *then} if now.get(tensor) != then.get(tensor))
        yield Moved(name, old.commit, folder.commit, tuple(files), tuple(tensors))


def _digests(folder: HubFolder, files: Iterable[str], sources: SourceFiles, report: Report, name: str) -> Mapping[str, str]:
    """Fetch weight files and digest their tensors."""
    found = {}
    for file in files:
        if folder.fetch(file):
            report(Fetched(name, file, folder.listing[file].size))
        for info in folder.header(file):
            found[info.name], _ = sources.digest(Leaf(name, info))
    return found

"""Everything that a lock and a cache say, held against what is there; and outputs recomputed from their sources."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from modelbuild import files, lockfile
from modelbuild.cache import Cache
from modelbuild.cache.hashes import FileHashes
from modelbuild.cache.layout import prepare
from modelbuild.cache.outputs import OutputTable
from modelbuild.checkpoint.header import TensorInfo, read_header
from modelbuild.engine.comparing import difference, digest_in_file
from modelbuild.engine.publish import read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.events import Event, Kept, Published, Report, Started
from modelbuild.lockfile import LockedFile
from modelbuild.plan import Plan, Ref, Target
from modelbuild.plan.model import Files
from modelbuild.reading import is_regular
from modelbuild.schedule import chain
from modelbuild.sources.hub import HubFolder, is_hub, open_hub, parse_address
from modelbuild.usecases.locking import Keeper
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.run import Run
from modelbuild.usecases.where import Where

State = Literal["differs", "missing", "inconclusive"]


class Finding(Struct, frozen=True):
    """Something that is not as it should be.

    Args:
        what: NODE::FILE, NODE::TENSOR, a pack, or the lock.
        state: "inconclusive" where nothing could be told.
        facts: what is known of it.

    """

    what: str
    state: State
    facts: tuple[str, ...] = ()


class Verification(Struct, frozen=True):
    """What was checked, by kind, and what was found; exit 4 where anything differs or is missing, else 0."""

    checked: Mapping[str, int]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """Of the program."""
        return Exit.DIGEST if any(finding.state != "inconclusive" for finding in self.findings) else Exit.DONE


def verify(where: Where, targets: Sequence[str], report: Report, *, full: bool, rebuild: bool, sample: int) -> Verification:
    """See `modelbuild.usecases.verify`."""
    try:
        project = Project.open(where)
    except ModelbuildError as error:
        if error.exit_code != Exit.LOCK:
            raise
        return Verification({"lock": 1}, (Finding(str(where.lock), "differs", tuple(map(str, error.problems))),))
    cache = project.cache()
    try:
        return _Verifier(project, cache, targets, full=full).verification(report, rebuild=rebuild, sample=sample)
    finally:
        cache.close()


class _Verifier:
    def __init__(self, project: Project, cache: Cache, targets: Sequence[str], *, full: bool) -> None:
        self.project, self.cache, self.full = project, cache, full
        self.targets = project.targets(targets)
        self.hashes, self.sources = FileHashes(cache.index), SourceFiles(cache)
        self.checked: dict[str, int] = {}
        self.findings: list[Finding] = []
        self.lock = project.lock or lockfile.Lock()

    def verification(self, report: Report, *, rebuild: bool, sample: int) -> Verification:
        for name in self.used_sources():
            self.source(name)
        plan = self.plan()
        if plan and self.project.lock:
            self.count("lock", 1)
            stale = tuple(Keeper(self.project, plan, self.hashes, self.sources).stale())
            if stale:
                self.findings.append(Finding(str(self.project.where.lock), "differs", stale))
        for name in self.targets:
            self.output(name)
            self.packs(name)
        if plan and rebuild:
            for target in plan.targets.values():
                self.rebuilt(plan, target, sample, report)
        self.sources.remember()
        self.sources.close()
        return Verification(self.checked, tuple(self.findings))

    def count(self, kind: str, number: int) -> None:
        self.checked[kind] = self.checked.get(kind, 0) + number

    def used_sources(self) -> list[str]:
        """Return the locked sources that the targets rest on."""
        nodes = self.project.graph.upstream(self.targets)
        models = {model for name in nodes for model in self.project.graph.nodes[name].models}
        return [name for name in self.project.modelfile.sources if name in models and name in self.lock.sources]

    def plan(self) -> Plan | None:
        try:
            return self.project.plan(self.targets)
        except ModelbuildError as error:
            state: State = "inconclusive" if error.exit_code == Exit.NETWORK else "differs"
            self.findings += [Finding(problem.what, state, problem.facts) for problem in error.problems]
            return None

    def source(self, name: str) -> None:
        """Hold the files of a source against the lock."""
        locked, location = self.lock.sources[name], self.project.modelfile.sources[name].location
        if locked.location != location:
            return  # another source than the locked one, which is said of the lock
        mirror = dict(self.project.where.mirrors).get(name)
        if mirror or not is_hub(location):
            path = Path(mirror) if mirror else self.project.where.root / location
            paths = {file: path / file if path.is_dir() else path for file in locked.files}
        else:
            folder: HubFolder = open_hub(parse_address(location), locked.commit, offline=self.project.where.offline)
            paths = {file: folder.path(file) for file in locked.files}
        for file, path in paths.items():
            if is_hub(location) and not mirror and not path.exists():
                self.findings.append(Finding(f"{name}::{file}", "inconclusive", ("it has not been fetched, or not whole",)))
            else:
                self.file(f"{name}::{file}", path, locked.files[file], dict(self.cache.stats.last(path)))

    def output(self, name: str) -> None:
        """Hold an output against the lock; without one, against its own manifest."""
        path = self.path(name)
        manifest, locked = read_manifest(path), self.lock.merges.get(name)
        if locked and locked.files:
            for file, one in locked.files.items():
                if (path / file).is_symlink():
                    self.findings.append(Finding(f"{name}::{file}", "differs", ("it is a link",)))
                else:
                    self.file(f"{name}::{file}", path / file, one, manifest.tensors)
        elif manifest.files:
            for file in manifest.files:
                self.count("file", 1)
                if not is_regular(path / file):
                    self.findings.append(Finding(f"{name}::{file}", "missing"))
                elif file.endswith(".safetensors"):
                    self.tensors(f"{name}::{file}", path / file, manifest.tensors)
        else:
            self.findings.append(Finding(name, "inconclusive", (f"nothing is built at {path}",)))

    def packs(self, name: str) -> None:
        """Hold the packs that an output is made of against what the cache says of them."""
        for pack in OutputTable(self.cache.index).packs(self.path(name)):
            path, sidecar = self.cache.packs.has(pack), self.cache.packs.sidecar(pack)
            if path is None or sidecar is None:
                continue
            self.count("pack", 1)
            if self.full or not self.cache.packs.is_unmoved(pack):
                self.tensors(f"pack {pack[:12]}", path, {entry.name: entry.digest for entry, _ in sidecar.tensors})

    def path(self, name: str) -> Path:
        output = self.project.modelfile.merges[name].output.path
        return self.project.where.root / (output or f"out/{name}")

    def file(self, what: str, path: Path, locked: LockedFile, tensors: Mapping[str, str]) -> None:
        """Hold a file against its sha256; where it differs, say which tensors do."""
        self.count("file", 1)
        if path.exists() and not path.is_file():
            self.findings.append(Finding(what, "differs", ("it is no file",)))
            return
        try:
            same = path.stat().st_size == locked.size and self.hashes.sha256(path, full=self.full) == locked.sha256
        except FileNotFoundError:
            self.findings.append(Finding(what, "missing"))
            return
        if not same:
            before = len(self.findings)
            if path.suffix == ".safetensors" and tensors:
                self.tensors(what, path, tensors)
            if len(self.findings) == before:
                self.findings.append(Finding(what, "differs", (f"sha256 {locked.sha256} is locked",)))

    def tensors(self, what: str, path: Path, known: Mapping[str, str]) -> None:
        """Hold each tensor of a file against its digest."""
        try:
            infos = read_header(path)
        except ModelbuildError as error:
            self.findings.append(Finding(what, "differs", error.problems[0].facts))
            return
        wrong = tuple(info.name for info in infos if known.get(info.name) not in (None, digest_in_file(info)))
        if wrong:
            self.findings.append(Finding(what, "differs", tuple(f"tensor `{name}`" for name in wrong)))

    def rebuilt(self, plan: Plan, target: Target, sample: int, report: Report) -> None:
        """Compute tensors of a target again, from its sources, and hold its output against them."""
        held: dict[str, TensorInfo] = {}
        for file in sorted(target.path.glob("*.safetensors")):
            held |= {info.name: info for info in read_header(file)}
        names = [name for name in target.tensors if name in held]
        self.findings += [Finding(f"{target.name}::{name}", "missing") for name in target.tensors if name not in held]
        if sample and sample < len(names):
            names = sorted(random.SystemRandom().sample(names, sample))
        if not names:
            return
        self.count("tensor", len(names))
        wrong = 0
        for name, again in _computed(plan, target, names, self.cache, report):
            now, info = digest_in_file(held[name]), again
            if now != digest_in_file(info):
                wrong += 1
                self.findings.append(self.differs(target, name, held[name], info, first=wrong == 1))

    def differs(self, target: Target, name: str, held: TensorInfo, again: TensorInfo, *, first: bool) -> Finding:
        bound = sorted({action.method.name for action in chain(target.tensors[name]) if action.method.numerics != "exact"})
        facts = [f"`{method}` gives the same bytes on one device and one version of torch alone" for method in bound]
        apart = difference(held, again) if first else None
        facts += [f"it differs from what is computed now in {apart}"] if apart else []
        return Finding(f"{target.name}::{name}", "inconclusive" if bound else "differs", tuple(facts))


def _computed(plan: Plan, target: Target, names: Sequence[str], cache: Cache, report: Report) -> Iterator[tuple[str, TensorInfo]]:
    """Build some tensors of a target beside the cache, by a cache of their own that goes with them."""
    file = "model.safetensors"
    prepare(cache.directory)
    scratch = cache.directory / f".verify-{files.random_name()}"
    path, own, sources = scratch / "out", Cache.open(scratch / "cache"), SourceFiles(cache)
    try:
        tensors = {name: target.tensors[name] for name in names}
        part = replace(target, tensors=tensors, files={file: tuple(names)}, linked=True, kept=False, path=path, config={}, along=Files())
        live: set[Ref] = {action for ref in tensors.values() for action in chain(ref)}
        smaller = replace(plan, targets={target.name: part}, actions=tuple(action for action in plan.actions if action in live), equal=())
        outcome = Run(smaller, own, sources, Options(force=True), _without_output(report), {}).run(0.0)
        if outcome.exit_code != Exit.DONE:
            raise ModelbuildError(outcome.problems, Exit(outcome.exit_code))
        for info in read_header(path / file):
            yield info.name, info
    finally:
        sources.close()
        own.close()
        files.remove_tree(scratch)


def _without_output(report: Report) -> Report:
    """Tell of a build whose output goes with it."""

    def told(event: Event) -> None:
        if isinstance(event, Started):
            report(replace(event, doing="recomputing"))
        elif not isinstance(event, Published | Kept):
            report(event)

    return told

"""The lock against a plan: what it should say, what of it no longer holds, and what a build adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from modelbuild import files, lockfile
from modelbuild.cache.hashes import FileHashes
from modelbuild.digest import KeyHasher, merkle_root
from modelbuild.engine.publish import read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.lockfile import Lock, LockedFile, LockedMerge, LockedSource
from modelbuild.plan import Action, Leaf, Plan, Ref, Step, Survey, describe
from modelbuild.reading import is_regular
from modelbuild.sources.checkpoint import Checkpoint
from modelbuild.sources.hub import HubFolder
from modelbuild.usecases.environment import write_environment
from modelbuild.usecases.fetching import used_files
from modelbuild.usecases.outcome import Outcome
from modelbuild.usecases.project import Project


class Keeper(Struct, frozen=True, dict=True):
    """Keeps a lock in step with a project.

    Args:
        project: the Modelfile, and the lock as it was read.
        plan: of the targets in hand.
        hashes: sha256 of files.
        sources: digests of tensors.

    """

    project: Project
    plan: Plan
    hashes: FileHashes
    sources: SourceFiles

    @property
    def lock(self) -> Lock:
        """The lock as it was read, empty where there was none."""
        return self.project.lock or Lock()

    def stale(self) -> Iterator[str]:
        """Yield what of the Modelfile, and of sources that lie here, is not as the lock says."""
        for checkpoint, names in used_files(self.plan).items():
            yield from self._stale_source(checkpoint, names)
        for name in self.nodes():
            if name not in self.lock.merges:
                yield f"merge `{name}` is not in the lock"
            elif self.lock.merges[name].graph != graph_of(self.plan, name):
                yield f"merge `{name}` is not the locked one: its method, parameters, inputs or output are others"
        for name, known in self.methods().items():
            if self.lock.methods.get(name, known) != known:
                yield f"method `{name}` is of revision {known[0]}, and {self.lock.methods[name][0]} is locked"

    def _stale_source(self, checkpoint: Checkpoint, names: Sequence[str]) -> Iterator[str]:
        name, location = checkpoint.name, self.project.modelfile.read[checkpoint.name].location
        locked = self.lock.sources.get(name)
        if locked is None:
            yield f"source `{name}` is not in the lock"
        elif locked.location != location:
            yield f"source `{name}` is {location}, and {locked.location} is locked"
        else:
            for file in names:
                if file not in locked.files:
                    yield f"source `{name}` has a file `{file}` that is not in the lock"
                elif self._lies_here(checkpoint) and self._file(checkpoint, file) != locked.files[file]:
                    yield f"`{file}` of source `{name}` is not the locked file"

    def hold(self, *, locked: bool, frozen: bool) -> None:
        """Refuse, before anything is done, a lock that is missing where it must be there, or wrong where it must be right.

        Raises:
            ModelbuildError: exit 3.

        """
        if locked:
            self.refuse_stale()
        elif frozen:
            self.refuse_missing()

    def settle(self, outcome: Outcome, device: str, *, locked: bool, frozen: bool) -> bool:
        """After a build: say beside outputs what built them, hold them against the lock, or write it; tell whether it was written.

        Raises:
            ModelbuildError: exit 4 if `locked`, and an output is not the locked one.

        """
        if self.project.lock is None:
            return False
        for target in outcome.targets:
            if target.state == "built":
                write_environment(Path(target.path), device)
        if locked:
            self.refuse_other_outputs()
        return not (locked or frozen or self.project.where.overrides) and self.write(self.completed(self.plan.targets, read=True))

    def refuse_stale(self) -> None:
        """Refuse to go on with a lock that is missing or no longer right.

        Raises:
            ModelbuildError: exit 3, saying what is stale.

        """
        self.refuse_missing()
        stale = tuple(self.stale())
        if stale:
            raise ModelbuildError(
                Problem(
                    f"`{self.project.where.lock}` is not what `{self.project.where.file}` asks for",
                    facts=stale,
                    hint="run `modelbuild lock`, or take the change back",
                ),
                Exit.LOCK,
            )

    def refuse_missing(self) -> None:
        """Refuse to go on without a lock: exit 3."""
        if self.project.lock is None:
            raise ModelbuildError(
                Problem(f"there is no lock at `{self.project.where.lock}`", hint="run `modelbuild lock`, and keep what it writes"),
                Exit.LOCK,
            )

    def refuse_others(self) -> None:
        """Refuse files of pinned sources, fetched or named by `--source`, that are not the locked bytes.

        Raises:
            ModelbuildError: exit 4, with every file.

        """
        facts = []
        for checkpoint, names in used_files(self.plan).items():
            locked = self.lock.sources.get(checkpoint.name)
            if self._lies_here(checkpoint) or locked is None or locked.location != self.project.modelfile.read[checkpoint.name].location:
                continue
            facts += [
                f"`{file}` of source `{checkpoint.name}` at {checkpoint.folder.place}"
                for file in names
                if file in locked.files and self._file(checkpoint, file) != locked.files[file]
            ]
        if facts:
            hint = "take the same files, or move the pin with `modelbuild lock --upgrade`"
            raise ModelbuildError(Problem("these are not the locked files", facts=tuple(facts), hint=hint), Exit.DIGEST)

    def refuse_other_outputs(self) -> None:
        """Refuse outputs that came out other than locked.

        Raises:
            ModelbuildError: exit 4, with every file.

        """
        facts = [
            f"`{file}` of target `{target.name}`"
            for target in self.plan.targets.values()
            for file, locked in self.lock.merges[target.name].files.items()
            if self._output(target.path, file) != locked
        ]
        if facts:
            raise ModelbuildError(
                Problem("these came out other than locked", facts=tuple(facts), hint="`modelbuild verify` says more"), Exit.DIGEST
            )

    def expected(self) -> Mapping[str, str]:
        """Return the roots that targets have to have, as far as they are locked."""
        return {name: self.lock.merges[name].root for name in self.plan.targets if name in self.lock.merges}

    def completed(self, built: Iterable[str] = (), *, read: bool = False) -> Lock:
        """Return the lock as it should be.

        Args:
            built: targets whose outputs stand, and are to be locked with their files.
            read: digest the tensors of sources that are here, and not known yet.

        """
        declared = self.project.modelfile
        used = used_files(self.plan)
        sources = {name: one for name, one in self.lock.sources.items() if name in declared.read}
        for checkpoint, names in used.items():
            source = self._source(checkpoint, names, read=read)
            sources |= {checkpoint.name: source} if source else {}
        graphs = {name: graph_of(self.plan, name) for name in self.nodes()}
        old = self.lock.merges
        moved = {checkpoint.name for checkpoint in used if checkpoint.name not in sources}
        moved |= {name for name in sources if not _same(self.lock.sources.get(name), sources[name])}
        moved |= {name for name, graph in graphs.items() if name not in old or old[name].graph != graph}
        for name, node in self.project.graph.nodes.items():
            if moved.intersection(node.models):
                moved.add(name)
        merges = {name: replace(one, root="", files={}) if name in moved else one for name, one in old.items() if name in declared.merges}
        for name, graph in graphs.items():
            seed = self.project.graph.nodes[name].seed if self._is_random(name) else -1
            before = merges.get(name, LockedMerge(graph))
            merges[name] = replace(before, graph=graph, seed=seed)
        for name in built:
            merges[name] = self._merge(name, merges[name])
        searches = {name: one for name, one in self.lock.searches.items() if name in declared.searches or name in declared.merges}
        return Lock(self._methods_of(merges) | self.methods(), sources, merges, searches)

    @property
    def is_complete(self) -> bool:
        """Whether the lock as it was read holds the digests of all targets, or there is none."""
        return self.project.lock is None or all(name in self.lock.merges and self.lock.merges[name].root for name in self.plan.targets)

    def write(self, lock: Lock) -> bool:
        """Write a lock if it says anything new, and tell whether it does."""
        if lock == self.project.lock:
            return False
        files.write_atomic(self.project.where.lock, lockfile.to_text(lock).encode())
        return True

    def nodes(self) -> tuple[str, ...]:
        """Return the merges that the plan's targets rest on, themselves included."""
        return self.project.graph.upstream(self.plan.targets)

    def methods(self) -> dict[str, tuple[int, str]]:
        """Return revision and numerics class of every method that is used."""
        used = {action.method for action in self.plan.actions if not isinstance(action, Survey | Step)}
        return {method.name: (method.revision, method.numerics) for method in used}

    def _methods_of(self, merges: Mapping[str, LockedMerge]) -> dict[str, tuple[int, str]]:
        """Return what is locked of the methods of merges that are not in hand."""
        others = merges.keys() - set(self.nodes())
        return dict(self.lock.methods) if others else {}

    def _is_random(self, name: str) -> bool:
        return any(part.method.random for part in self.project.graph.nodes[name].slices)

    def _lies_here(self, checkpoint: Checkpoint) -> bool:
        """Tell whether a source is the user's own, to be followed: neither on a hub nor a mirror of one."""
        return not isinstance(checkpoint.folder, HubFolder) and checkpoint.name not in dict(self.project.where.mirrors)

    def _file(self, checkpoint: Checkpoint, name: str) -> LockedFile:
        """Return size and sha256 of a source's file; of large ones on a hub as it lists them."""
        folder = checkpoint.folder
        if isinstance(folder, HubFolder):
            listed = folder.listing[name]
            if len(listed.digest) == 64:
                return LockedFile(listed.size, listed.digest)
            folder.fetch(name)
        path = folder.path(name)
        return LockedFile(path.stat().st_size, self.hashes.sha256(path))

    def _output(self, path: Path, name: str) -> LockedFile | None:
        if not is_regular(path / name):
            return None
        try:
            return LockedFile((path / name).stat().st_size, self.hashes.sha256(path / name))
        except OSError:
            return None

    def _source(self, checkpoint: Checkpoint, names: Sequence[str], *, read: bool) -> LockedSource | None:
        """Return what is to be locked of a source; files that only other targets read stay as they were.

        Of a mirror nothing is: it does not tell the commit.
        """
        name = checkpoint.name
        location, folder, old = self.project.modelfile.read[name].location, checkpoint.folder, self.lock.sources.get(name)
        commit = folder.commit if isinstance(folder, HubFolder) else ""
        if name in dict(self.project.where.mirrors):
            return old if old and old.location == location else None
        now = {file: self._file(checkpoint, file) for file in names}
        held = {folder.path(file).name for file in folder.names()}
        before = old.files if old and (old.location, old.commit) == (location, commit) else {}
        now = {file: locked for file, locked in before.items() if file in held} | now
        root = self._root(checkpoint, now, read=read) or (old.root if old and old.files == now else "")
        return LockedSource(location, commit, root, now)

    def _root(self, checkpoint: Checkpoint, names: Iterable[str], *, read: bool) -> str:
        """Return the root of the tensors in some files, or "" where they are not known."""
        held, folder = set(names), checkpoint.folder
        if isinstance(folder, HubFolder) and any(map(folder.is_partial, held)):
            return ""
        leaves = [
            leaf for leaf in self.plan.models[checkpoint.name].tensors.values() if isinstance(leaf, Leaf) and leaf.info.path.name in held
        ]
        read = read and all(leaf.info.path.exists() for leaf in leaves)
        digests = [self.sources.digest(leaf)[0] if read else self.sources.known(leaf) for leaf in leaves]
        if not all(digests):
            return ""
        self.sources.remember()
        return merkle_root((leaf.info.name, leaf.dtype, leaf.shape, digest) for leaf, digest in zip(leaves, digests, strict=True))

    def _merge(self, name: str, locked: LockedMerge) -> LockedMerge:
        path = self.plan.targets[name].path
        manifest = read_manifest(path)
        held = {file: self._output(path, file) for file in manifest.files}
        return replace(locked, root=manifest.root, files={file: one for file, one in held.items() if one})


def _same(old: LockedSource | None, new: LockedSource) -> bool:
    """Tell whether a source is still what it was; that more of it is known, or that it has another address, changes no bytes."""
    if old is None:
        return False
    if old.root and new.root and old.files.keys() == new.files.keys():
        others = [file for file in new.files if not file.endswith(".safetensors")]
        return old.root == new.root and all(old.files[file] == new.files[file] for file in others)
    return all(new.files[file] == locked for file, locked in old.files.items() if file in new.files)


def graph_of(plan: Plan, name: str) -> str:
    """Return the hash of what a merge computes: how each tensor comes of others, called by their names, and its output's form."""
    hasher = KeyHasher("graph")
    node = plan.graph.nodes[name]
    told: set[Action] = set()
    for tensor, ref in sorted(plan.models[name].tensors.items()):
        hasher.field("tensor", (tensor, ref.label, ref.dtype, ref.shape))
        _tell(hasher, plan, name, ref, told)
    output = node.merge.output
    tokenizer = node.merge.tokenizer
    hasher.field("output", (output.dtype, output.shard_size, tokenizer.source, tokenizer.chat_template))
    return hasher.key()


def _tell(hasher: KeyHasher, plan: Plan, node: str, ref: Ref, told: set[Action]) -> None:
    """Tell of a merge's own action, and of those beside it that it needs: they are no merge's."""
    if not isinstance(ref, Action) or ref in told or (ref.node != node and ref.node in plan.graph.nodes):
        return
    told.add(ref)
    for need in ref.needs:
        _tell(hasher, plan, node, need, told)
    describe(ref, tuple(need.label for need in ref.needs), "", hasher)

"""The engine: every tensor of every target settled on demand, on threads, each action run at most once.

An action is settled when its digest is known: found in a record, or computed.  Settling one settles what it reads first,
so a tensor goes through the whole graph before the next is begun, and an intermediate that comes out the same stops the
change there.  Bytes are asked for only by what runs or is written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from msgspec import Struct, field

from modelbuild.cache import Cache
from modelbuild.cache.records import Record
from modelbuild.engine.budget import Budget
from modelbuild.engine.choosing import Devices
from modelbuild.engine.compute import compute, masks
from modelbuild.engine.regions import FileRegion, Handles, MemoryRegion, Region, Write, digest_of
from modelbuild.engine.shelves import Shelves
from modelbuild.engine.sources import SourceFiles
from modelbuild.engine.tally import Tally, cost_of, telling
from modelbuild.engine.windows import Window
from modelbuild.engine.workspace import Interrupted, Job, Workspaces
from modelbuild.events import Began, Hashed, Merged, Report, Spared, Warned
from modelbuild.plan import Action, Leaf, Plan, Ref
from modelbuild.schedule import uses
from modelbuild.stale import Fresh, Judgement, description_of, key_of


class _State(Struct):
    """What is known of an action; guarded by its lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    digest: str = ""
    key: str = ""
    region: Region | None = None
    left: int = 0
    """How many actions have yet to read it."""


class Engine:
    """Settles actions.

    Args:
        plan: says which actions compute the same thing, and how often a result is read.
        cache: where records and packs are kept.
        shelves: where the results of actions are to be written.
        sources: the source files of the build.
        devices: what computes; opened when something is to be computed.
        told: what keys say of it; see `choosing.identity`.
        judged: what is known of actions before they are settled: of those that are fresh the key, and which may have to run.
        budget: chunk size, and memory for intermediates that are not kept.
        force: take nothing from records.
        report: told of what happens.

    """

    def __init__(
        self,
        plan: Plan,
        cache: Cache,
        shelves: Shelves,
        sources: SourceFiles,
        devices: Devices,
        told: str,
        judged: Mapping[Action, Judgement],
        budget: Budget,
        report: Report,
        *,
        force: bool,
    ) -> None:
        self.counts = Tally()
        self.ran: set[Action] = set()
        self._cache, self._shelves, self._sources, self._report = cache, shelves, sources, report
        self._workspaces = Workspaces(devices, budget.chunk)
        self._scratch, self._force = budget.scratch, force
        self._plan, self._uses = plan, uses(plan)
        self._told, self._judged = told, judged
        self._states: dict[Action, _State] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._handles = Handles()
        self._records: list[Record] = []
        self.warnings: list[str] = []
        self._blank = not shelves.salvages and (force or not cache.records.any())

    def stop(self) -> None:
        """Make every worker stop at its next chunk."""
        self._stopped = True

    def go_on(self) -> None:
        """Take the stop back: what was settled may still be written."""
        self._stopped = False

    def check(self) -> None:
        """Raise `Interrupted` if the build was told to stop."""
        if self._stopped:
            raise Interrupted

    def digest(self, ref: Ref, window: Window | None = None) -> str:
        """Settle a tensor and return its digest; what has to be read for it is seen through a window, if the caller has one."""
        ref = self._plan.first(ref)
        if isinstance(ref, Leaf):
            self.check()
            return self._sources.known(ref) or self._read(ref, window)
        state = self._state(ref)
        with state.lock:
            if not state.digest:
                self._settle(ref, state)
            return state.digest

    def _read(self, leaf: Leaf, window: Window | None) -> str:
        """Digest a source tensor, unless another thread is about to."""
        self._report(Began("reading", leaf.source, leaf.info.name, leaf.nbytes))
        started = time.perf_counter()
        digest, hashed = self._sources.digest(leaf, window)
        if hashed:
            took = time.perf_counter() - started
            self.counts.add(read=leaf.nbytes)
            self.counts.spend("reading", leaf.nbytes, took)
            self._report(Hashed(leaf.source, leaf.info.name, leaf.nbytes, took))
        return digest

    def region(self, ref: Ref) -> Region:
        """Return a tensor's bytes, verified; they are computed if they are nowhere."""
        ref = self._plan.first(ref)
        if isinstance(ref, Leaf):
            return self._sources.region(ref)
        state = self._state(ref)
        with state.lock:
            if not state.digest:
                self._settle(ref, state)
            if state.region is None:
                state.region = self._found(ref, state.digest)
            if state.region is None:
                self._run(ref, state, tuple(map(self.digest, ref.needs)), "its bytes are no longer in the cache")
            assert state.region is not None
            return state.region

    def let_go(self, ref: Ref) -> None:
        """Give back the memory of a tensor that is not read again."""
        ref = self._plan.first(ref)
        state = self._states.get(ref) if isinstance(ref, Action) else None
        with self._lock:
            if state and isinstance(state.region, MemoryRegion):
                self._scratch += state.region.nbytes
                state.region = None

    def is_settled(self, ref: Ref) -> bool:
        """Tell whether a tensor's digest is known."""
        ref = self._plan.first(ref)
        return isinstance(ref, Leaf) or (ref in self._states and bool(self._states[ref].digest))

    def key(self, ref: Ref) -> str:
        """Return the key of a settled action; "" of what is none."""
        ref = self._plan.first(ref)
        return self._states[ref].key if isinstance(ref, Action) else ""

    def keys(self) -> Mapping[str, Mapping[str, str]]:
        """Return the keys of everything settled, by node and tensor."""
        table: dict[str, dict[str, str]] = {}
        for action in (*self._states, *self._plan.doubles):
            if self.is_settled(action):
                table.setdefault(action.node, {})[action.tensor] = self.key(action)
        return table

    def flush(self) -> None:
        """Store what was learned: records and source digests."""
        self._sources.remember()
        with self._lock:
            records, self._records = self._records, []
        self._cache.records.put_many(records)

    def close(self) -> None:
        """Close files."""
        self._handles.close()

    def _state(self, action: Action) -> _State:
        with self._lock:
            if action not in self._states:
                self._states[action] = _State(left=self._uses.get(action, 0))
            return self._states[action]

    def _settle(self, action: Action, state: _State) -> None:
        if self._blank and action.learns and self._workspaces.are_ready(action):
            known = tuple(self._sources.known(need) if isinstance(need, Leaf) else self.digest(need) for need in action.needs)
            if not all(known):  # nothing can be found, so that sources are digested as they are merged
                self._run(action, state, known, "forced" if self._force else "not built before")
                return
        digests = tuple(map(self.digest, action.needs, self._workspaces.windows(action)))
        judged = self._judged.get(action)
        known_key = judged.key if isinstance(judged, Fresh) and judged.needs == digests else ""
        state.key = known_key or key_of(action, digests, self._told)
        recorded = "" if self._force else self._cache.records.digest(state.key) or ""
        if recorded or (not self._force and self._salvaged(action, state, digests)):
            state.digest = state.digest or recorded
            if judged and not isinstance(judged, Fresh):
                self._report(Spared(action.node, action.tensor, action.nbytes))
            self._release(action)
        else:
            self._run(action, state, digests, "forced" if self._force else "not built before")

    def _salvaged(self, action: Action, state: _State, digests: tuple[str, ...]) -> bool:
        """Take over what a build that died had finished: into its place, and into the records."""
        digest = self._shelves.salvaged_digest(state.key)
        found = self._found(action, digest) if digest else None
        if found is None:
            return False
        if self._shelves.has_place(action):
            found, written = self._shelves.copy_in(action, state.key, digest, found)
            self.counts.add(written=written)
        state.digest, state.region = digest, found
        self._learn(action, state, digests)
        return True

    def _learn(self, action: Action, state: _State, digests: tuple[str, ...]) -> None:
        record = Record(state.key, state.digest, description_of(action, digests, self._told))
        with self._lock:
            self._records.append(record)

    def _run(self, action: Action, state: _State, digests: tuple[str, ...], reason: str) -> None:
        self.check()
        regions = tuple(map(self.region, action.needs))
        workspace = self._workspaces.of(action)
        self._report(Began("merging", action.node, action.tensor, action.nbytes, action.method.name))
        started = time.perf_counter()
        first = 0 if action.base is None else 1
        streams = masks(action.seed, digests[first : first + len(action.inputs)]) if action.method.random else ()
        has_place = self._shelves.has_place(action)
        region, write = self._shelves.room(action) if has_place else self._room(action)
        computed = compute(Job(action, regions, digests, streams, telling(action, write, self._report), self.check), workspace)
        self._sources.unchanged(need for need in action.needs if isinstance(need, Leaf))
        digests = computed.needs
        for need, digest in zip(action.needs, digests, strict=True):
            if isinstance(need, Leaf):
                self._sources.learn(need, digest)
        state.digest = computed.digest
        self.ran.add(action)
        state.region, state.key = region, state.key or key_of(action, digests, self._told)
        if has_place:
            self.counts.add(written=self._shelves.finished(action, state.key, state.digest))
        self._learn(action, state, digests)
        self.counts.add(run=1, read=sum(self._sources.first_read(need) for need in action.needs if isinstance(need, Leaf)))
        for warning in computed.warnings:
            self.warnings.append(warning)
            self._report(Warned(warning))
        took = time.perf_counter() - started
        self.counts.spend(action.method.name, cost_of(action), took)
        self._report(Merged(action.node, action.tensor, action.nbytes, took, reason))
        self._release(action)

    def _room(self, action: Action) -> tuple[Region, Write]:
        """Find room for a result that is not kept: memory, else a file that goes with the build."""
        with self._lock:
            fits = action.nbytes <= self._scratch
            self._scratch -= action.nbytes if fits else 0
        if not fits:
            return self._shelves.scratch(action)
        region = MemoryRegion(bytearray(action.nbytes))

        def write(start: int, data: memoryview) -> None:
            region.data[start : start + len(data)] = data

        return region, write

    def _release(self, action: Action) -> None:
        """Give back the memory of intermediates that nobody reads any more."""
        for need in action.needs:
            if isinstance(need, Action):
                state = self._states[self._plan.doubles.get(need, need)]
                with self._lock:
                    state.left -= 1
                    if state.left <= 0 and isinstance(state.region, MemoryRegion):
                        self._scratch += state.region.nbytes
                        state.region = None

    def _found(self, action: Action, digest: str) -> Region | None:
        """Look for a settled action's bytes, and read them once to see that they are what they were."""
        for location in self._shelves.located(digest, action.dtype, action.shape):
            try:
                region = FileRegion(self._handles.fd(location.path), location.path, location.offset, action.nbytes)
            except OSError:
                continue
            if digest_of(region, action.dtype, action.shape) == digest:
                self.counts.add(read=action.nbytes)
                return region
            self._shelves.distrust(location)
        return None

"""Bringing targets up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from modelbuild.cache import Cache
from modelbuild.cache.outputs import OutputTable, Stats
from modelbuild.cache.paces import PaceTable, Ran
from modelbuild.engine.budget import buffers, raise_file_limit, share_out
from modelbuild.engine.choosing import assign, identity
from modelbuild.engine.crew import at_work, work
from modelbuild.engine.drawing import draw
from modelbuild.engine.engine import Engine
from modelbuild.engine.publish import Content, content_of, publish, refuse_foreign
from modelbuild.engine.sealing import Sealer
from modelbuild.engine.shelves import Shelves
from modelbuild.engine.sources import SourceFiles
from modelbuild.engine.tally import costs_of
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Began, Copied, Kept, Published, Report, Sealing, Settled, Started, timed
from modelbuild.plan import Action, Leaf, Plan, Target
from modelbuild.schedule import order
from modelbuild.usecases import preflight
from modelbuild.usecases.judging import copies, judge_plan
from modelbuild.usecases.outcome import Actions, Bytes, Options, Outcome, Saved, State, peak_rss
from modelbuild.usecases.pace import Pace
from modelbuild.usecases.shares import shared_out

_LOOKS = 10
"""How often the packs of an output may be removed by others before they are linked."""


class Run:
    """One run of the engine over a plan.

    Args:
        plan: what to build.
        cache: what is known and kept.
        sources: the source files of the plan.
        options: how.
        report: told of what happens.
        expected: the Merkle root that a target has to have, where that is known.
        identities: the identity that an output has to have, where that is known.
        exports: the bytes of exports that are sure to be made afterwards, by the directory that they go to.

    """

    def __init__(
        self,
        plan: Plan,
        cache: Cache,
        sources: SourceFiles,
        options: Options,
        report: Report,
        expected: Mapping[str, str],
        identities: Mapping[str, str] = MappingProxyType({}),
        exports: Mapping[Path, int] = MappingProxyType({}),
    ) -> None:
        """Judge the plan, fit it into memory, and open what computes."""
        self._expected, self._identities = expected, identities
        self.contents: dict[str, Content] = {}
        self._plan, self._cache, self._options, self._report = plan, cache, options, report
        self._outputs, self._paces = OutputTable(cache.index), PaceTable(cache.index)
        self._sources = sources
        for target in plan.targets.values():
            refuse_foreign(target.path, self._outputs.names(target.path))
        raise_file_limit()
        devices = assign(options.device, plan.actions)
        self.device, self.told = devices.name, identity(devices, plan.actions)
        with timed(report, "judge"):
            judged = judge_plan(plan, cache, self._sources, self.told, force=options.force)
        running, computed = judged.running, plan.firsts(judged.running)
        force_all = options.force or not cache.records.any()
        self._budget = share_out(running, options.memory, options.jobs, devices)
        self._sealer = Sealer(cache.close)
        drawn = draw(plan, running, judged.writing)
        preflight.refuse_doomed(plan, drawn, preflight.certain(judged, forced=force_all), cache.directory, exports)
        self._shelves = Shelves(cache, drawn, self._sealer)
        self._buffers = buffers(running, self._budget)
        self._engine = Engine(
            plan, cache, self._shelves, self._sources, devices, self.told, judged.judgements, self._budget, report, force=options.force
        )
        self._left = {(target.name, file): len(names) for target in plan.targets.values() for file, names in target.files.items()}
        self._lock = threading.Lock()
        report(
            Started(
                tuple(plan.targets),
                len(plan.actions),
                len(plan.actions) - len(computed),
                sum(len(target.tensors) for target in plan.targets.values()),
                sum(action.nbytes for action in computed),
                sum(ref.nbytes for ref in copies(plan, judged, drawn)),
                self._budget.jobs,
            )
        )

    def run(self, started: float) -> Outcome:
        """Settle every tensor, fill packs, publish outputs."""
        complete = interrupted = False
        try:
            failed = self._crew(
                partial(self._settle, self._plan.targets[target], file, tensor) for target, file, tensor in order(self._plan)
            )
            self._report(Sealing(self._sealer.due))
            failed = (*failed, *self._sealer.wait())
            self._engine.go_on()
            broken = self._broken() if failed else frozenset()
            self._equal()
            states, more = self._finish(broken)
            complete = not (failed or more)
        except KeyboardInterrupt:
            interrupted = True
            raise
        finally:
            with timed(self._report, "record"):
                self._engine.flush()
            tensors, nbytes = self._shelves.finished_work
            if not (interrupted and at_work()):  # else a thread waits for a disk and uses files, which the end of the process will close
                self._shelves.close(self._settled_keys if complete else None)
                self._engine.close()
            if tensors and not complete:
                self._report(Kept(tensors, nbytes))
        return self._outcome(states, (*failed, *more), started)

    @property
    def used_packs(self) -> frozenset[str]:
        """The packs of this build: those of its outputs, and those that were taken in or read."""
        return frozenset(self._shelves.used)

    def keys(self) -> Mapping[str, Mapping[str, str]]:
        """Return the keys of everything settled, by node and tensor."""
        return self._engine.keys()

    def _settled_keys(self) -> frozenset[str]:
        return frozenset(key for keys in self.keys().values() for key in keys.values())

    def _settle(self, target: Target, file: str, tensor: str) -> None:
        """Settle a tensor; who settles the last one of a file of which something ran completes the file."""
        ref = target.tensors[tensor]
        self._engine.digest(ref)
        self._report(Settled(target.name, tensor, ref.nbytes))
        with self._lock:
            self._left[target.name, file] -= 1
            last = not self._left[target.name, file]
        shelf = self._shelves.targets[target.name, file]
        if last and shelf.filled:
            for name in target.files[file]:
                self._fill(target, file, name)
            self._sealer.submit(shelf.sync, partial(self._complete, target, file))

    def _crew(self, tasks: Iterable[partial[None]]) -> tuple[ModelbuildError, ...]:
        return work(tasks, self._budget.jobs, self._engine.stop, self._cache.close, keep_going=self._options.keep_going)

    def _broken(self) -> frozenset[str]:
        """Return the targets with a tensor that could not be settled."""
        return frozenset(
            target.name for target in self._plan.targets.values() if not all(map(self._engine.is_settled, target.tensors.values()))
        )

    def _equal(self) -> None:
        """Check what no method computes on: such tensors must be the same in all inputs."""
        for label, refs in self._plan.equal:
            if len({self._engine.digest(ref) for ref in refs}) > 1:
                facts = (
                    f"its type is {refs[0].dtype}, which is copied and never merged",
                    f"it differs between {', '.join(ref.label for ref in refs)}",
                )
                raise ModelbuildError(
                    Problem(f"`{label}` cannot be merged", facts=facts, hint="use models that agree on it"), Exit.ACTION_FAILED
                )

    def _finish(self, broken: frozenset[str]) -> tuple[dict[str, State], tuple[ModelbuildError, ...]]:
        states: dict[str, State] = dict.fromkeys(broken, "failed")
        failed: list[ModelbuildError] = []
        for target in self._plan.targets.values():
            if target.name in broken:
                continue
            try:
                states[target.name] = self._publish(target)
            except ModelbuildError as error:
                states[target.name] = "failed"
                failed.append(error)
                if not self._options.keep_going:
                    break
        failed += self._sealer.wait()  # packs of intermediates that were computed again for an output
        with timed(self._report, "seal", "intermediates"):
            self._engine.counts.add(written=self._shelves.take_in_kept())
        return states, tuple(failed)

    def _publish(self, target: Target) -> State:
        """Make a target's output what it should be, if it is not."""
        content = content_of(target, self._engine.digest)
        self._compare(target, content)
        self.contents[target.name] = content
        if target.kept:
            self._shelves.used.update(content.weights.values())
        if self._outputs.stands(target.path, content.identity, content.names):
            return "fresh"
        before = self._outputs.packs(target.path)
        with timed(self._report, "publish", target.name):
            written, linked, stats = self._put_together(target, content)
        self._engine.counts.add(written=written, linked=linked)
        kept = dict(content.weights) if target.kept else {}
        self._outputs.remember(target.path, content.identity, stats, kept)
        for pack in {*before, *kept.values()}:
            self._cache.packs.refresh(pack)
        self._report(Published(target.name, str(target.path), len(content.names), linked))
        return "built"

    def _put_together(self, target: Target, content: Content) -> tuple[int, int, Stats]:
        """Publish a target; what somebody else removes from the cache before it is linked is written again."""
        left = _LOOKS
        while True:
            self._write_missing(target, content)
            weights = {file: self._weights(target, file, pack) for file, pack in content.weights.items()}
            try:
                return publish(target.path, weights, content.small)
            except FileNotFoundError:
                lost = [file for file, path in weights.items() if not path.exists()]
                left -= 1
                if not lost or not left:
                    raise
                for file in lost:
                    self._shelves.begin_again(target.name, file)

    def _write_missing(self, target: Target, content: Content) -> None:
        """Write the files of a target that are neither in the cache nor written in this build."""
        missing = [
            file
            for file in target.files
            if not self._shelves.targets[target.name, file].sealed and not self._kept(target, content.weights[file])
        ]
        failed = self._crew(partial(self._fill, target, file, name) for file in missing for name in target.files[file])
        failed = failed or self._crew(partial(self._complete, target, file) for file in missing)
        if failed:
            raise failed[0]

    def _compare(self, target: Target, content: Content) -> None:
        """Let nothing be published that is not what was locked, or what an old output was."""
        expected = self._expected.get(target.name) or content.root
        if expected != content.root:
            facts = (f"its tensors have the root {content.root}", f"{expected} is locked")
            hint = "`modelbuild verify` says where they differ; the old output stands"
            raise ModelbuildError(Problem(f"`{target.name}` came out other than locked", facts=facts, hint=hint), Exit.DIGEST)
        identity = self._identities.get(target.name) or content.identity
        if identity != content.identity:
            facts = (f"its identity is {content.identity}", f"{identity} is recorded")
            raise ModelbuildError(Problem(f"`{target.name}` came out other than it was", facts=facts), Exit.DIGEST)

    def _kept(self, target: Target, pack: str) -> bool:
        """Tell whether a file's pack is in the cache, so that nothing is to be written for it."""
        return target.kept and self._cache.packs.trusted(pack)

    def _fill(self, target: Target, file: str, name: str) -> None:
        """Copy a tensor into its file unless it was computed there."""
        shelf, ref = self._shelves.targets[target.name, file], target.tensors[name]
        if name not in shelf.filled:
            digest = self._engine.digest(ref)
            region = self._engine.region(ref)
            if name not in shelf.filled:  # it was computed there just now, because its bytes were nowhere
                self._report(Began("copying", target.name, name, ref.nbytes))
                started = time.perf_counter()
                shelf.copy(name, self._engine.key(ref), digest, region)
                self._engine.counts.add(read=self._sources.first_read(ref) if isinstance(ref, Leaf) else 0)
                self._engine.counts.spend("copying", ref.nbytes, time.perf_counter() - started)
                self._report(Copied(target.name, name, ref.nbytes))

    def _complete(self, target: Target, file: str) -> None:
        """Bring a full file to disk, and into the cache where its target is kept."""
        shelf = self._shelves.targets[target.name, file]
        self._engine.counts.add(written=shelf.layout.size)
        with timed(self._report, "seal", f"{target.name}/{file}", shelf.layout.size):
            if target.kept:
                self._shelves.take_in(shelf)
            else:
                shelf.seal()

    def _weights(self, target: Target, file: str, pack: str) -> Path:
        """Return the file that an output's weight file is to be a link to."""
        if not target.kept:
            return self._shelves.targets[target.name, file].path
        return self._cache.packs.path(pack)

    def _outcome(self, states: dict[str, State], failed: Sequence[ModelbuildError], started: float) -> Outcome:
        counts, total = self._engine.counts, len(self._plan.actions)
        seconds = time.perf_counter() - started
        if not failed:
            self._remember(seconds)
        return Outcome(
            tuple(shared_out(self._plan, states, {(action.node, action.tensor) for action in self._engine.ran})),
            Actions(total, counts.run, total - counts.run),
            self._plan.aliased,
            Bytes(counts.read, counts.written, counts.linked),
            seconds,
            peak_rss(),
            (*self._plan.graph.notes, *self._plan.warnings, *sorted(self._engine.warnings)),
            problems=tuple(problem for error in failed for problem in error.problems),
            exit_code=failed[0].exit_code if failed else Exit.DONE,
            saved=self._saved(frozenset(self._engine.ran), counts.read),
            whole=self._saved(frozenset(), 0),
        )

    def _remember(self, seconds: float) -> None:
        """Note how long it took, for forecasts."""
        spent, jobs = self._engine.counts.spent(), self._budget.jobs
        if spent:
            rest = max(0.0, seconds - sum(took for _, took in spent.values()) / jobs)
            beside = max(0, peak_rss() - self._buffers)
            self._paces.remember(self.device, Ran(spent, jobs, rest, self._engine.counts.written, beside))

    def _saved(self, ran: frozenset[Action], read: int) -> Saved:
        """Return what a build that ran those actions, and read so many bytes, did not do."""
        pace, costs = Pace(self._paces.of(self.device)), costs_of(self._plan.firsts(self._plan.actions) - ran)
        return Saved(max(0, sum(leaf.nbytes for leaf in self._plan.leaves) - read), pace.merging(costs, self._budget.jobs))

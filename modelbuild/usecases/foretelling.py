"""What a build would do: counts and bytes from keys, headers and records alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec.structs import replace

from modelbuild.cache import Cache
from modelbuild.cache.hashes import FileHashes
from modelbuild.cache.outputs import OutputTable
from modelbuild.cache.paces import PaceTable
from modelbuild.cache.salvage import left_over
from modelbuild.engine.budget import buffers, share_out
from modelbuild.engine.choosing import assign, identity
from modelbuild.engine.drawing import Drawing, draw
from modelbuild.engine.publish import content_of, is_here
from modelbuild.engine.sources import SourceFiles
from modelbuild.engine.tally import costs_of
from modelbuild.events import Noted, Report
from modelbuild.names import human_bytes
from modelbuild.plan import Leaf, Plan, Ref, Target
from modelbuild.stale import Pending
from modelbuild.usecases.delivering import Delivery
from modelbuild.usecases.judging import Judged, copies, judge_plan
from modelbuild.usecases.locking import Keeper
from modelbuild.usecases.outcome import Actions, BuiltTarget, Bytes, ForeseenExport, Options, Outcome, peak_rss
from modelbuild.usecases.pace import Pace
from modelbuild.usecases.project import Project, tell_of
from modelbuild.usecases.shares import with_shares
from modelbuild.usecases.where import Where

_BYTES_PER_SECOND = 400e6
"""A cautious rate at which bytes are merged and written, for who never built: docs/performance.md has measured ones."""


def forecast(where: Where, targets: Sequence[str], options: Options, report: Report) -> Outcome:
    """See `modelbuild.usecases.forecast`."""
    started = time.perf_counter()
    project = Project.open(where)
    plan = project.plan(project.targets(targets))
    tell_of(plan, report)
    cache = project.cache()
    sources = SourceFiles(cache)
    keeper = Keeper(project, plan, FileHashes(cache.index), sources)
    try:
        keeper.hold(locked=options.locked, frozen=options.frozen)
        found = Forecast(plan, cache, options, sources)
        outcome = found.outcome(started)
        for spared in found.spared:
            report(Noted(spared))
        return with_exports(found, outcome, Delivery(project, plan, cache, sources, targets, options, report))
    finally:
        sources.close()
        cache.close()


def with_exports(forecast: Forecast, outcome: Outcome, delivery: Delivery) -> Outcome:
    """Add exports to a forecast; where nothing is known of what one would write, it is taken to be as much as its target has."""
    delivery.refuse()
    fresh = {target.name for target in outcome.targets if target.state == "fresh"}
    targets, exports, read, written = list(outcome.targets), [], 0, 0
    for export in delivery.exports:
        target = forecast.plan.targets[export.of]
        content = content_of(target, forecast.digest) if target.name in fresh else None
        why = "everything is made, because of --force" if delivery.options.force else delivery.stale(export, content)
        if why:
            held = sum(ref.nbytes for ref in target.tensors.values())
            read, written = read + held, written + (delivery.nbytes(export) or held)
        targets.append(BuiltTarget(export.name, str(delivery.path(export)), "stale" if why else "fresh", len(target.tensors)))
        known = delivery.gate.known(export.of, content.root) if content and not delivery.options.no_check else ()
        failing = {one.name: one.said for one in known if one.passed is False}
        exports += [ForeseenExport(export.name, export.of, why, failing)] if why or failing else []
    count = Bytes(outcome.bytes.read + read, outcome.bytes.written + written, outcome.bytes.linked)
    return replace(
        outcome,
        targets=tuple(targets),
        bytes=count,
        seconds=outcome.seconds + (read + written) / _BYTES_PER_SECOND,
        warnings=(*outcome.warnings, *delivery.warnings),
        exact=outcome.exact and not read,
        exports=tuple(exports),
    )


class Forecast:
    """A plan judged, and what building it would cost."""

    def __init__(self, plan: Plan, cache: Cache, options: Options, sources: SourceFiles | None = None) -> None:
        """Judge a plan; reads no tensor."""
        self.plan, self.cache = plan, cache
        self.sources = sources or SourceFiles(cache)
        devices = assign(options.device, plan.actions)
        self.pace = Pace(PaceTable(cache.index).of(devices.name))
        self.device = identity(devices, plan.actions)
        self.judged: Judged = judge_plan(plan, cache, self.sources, self.device, force=options.force)
        self.budget = share_out(self.judged.running, options.memory, options.jobs, devices)
        self.drawing: Drawing = draw(plan, self.judged.running, self.judged.writing)
        self.outputs = OutputTable(cache.index)
        self.read: set[Ref] = {leaf for leaf in plan.leaves if not self.sources.known(leaf)}
        self.written = sum(layout.size for layout in self.drawing.kept)
        self.linked = 0
        self.spared: tuple[str, ...] = ()
        self.computed = plan.firsts(self.judged.running)
        for action in self.judged.running:
            self.reads(action.needs)
        if cache.records.any():  # what waits for others may come out as it was, and is copied then
            self.read.update(action for action in self.computed if isinstance(self.judged.judgements[action], Pending))

    def reads(self, refs: Sequence[Ref]) -> None:
        """Count tensors that will be read from where they lie."""
        self.read.update(ref for ref in refs if isinstance(ref, Leaf) or ref not in self.judged.running)

    def digest(self, ref: Ref) -> str:
        """Return a tensor's digest if it is known without computing, else ""."""
        return self.judged.digest(ref, self.sources)

    def target(self, target: Target) -> BuiltTarget:
        """Forecast one target, and count what its files cost."""
        if not is_here(target):
            self.written += sum(self.drawing.targets[target.name, file].size for file in target.files)
            self.linked += sum(self.drawing.targets[target.name, file].size for file in target.files)
            self.reads([ref for ref in target.tensors.values() if isinstance(ref, Leaf)])
            return BuiltTarget(target.name, str(target.path), "stale", len(target.tensors))
        content = content_of(target, self.digest)
        if all(content.weights.values()) and self.outputs.stands(target.path, content.identity, content.names):
            return BuiltTarget(target.name, str(target.path), "fresh", len(target.tensors))
        self.written += sum(map(len, content.small.values()))
        for file, pack in content.weights.items():
            size = self.drawing.targets[target.name, file].size
            self.linked += size
            if not (target.kept and pack and self.cache.packs.has(pack)):
                self.written += size
                refs = map(target.tensors.__getitem__, target.files[file])
                self.reads([ref for ref in refs if not self.drawing.has(self.plan.first(ref), (target.name, file))])
        return BuiltTarget(target.name, str(target.path), "stale", len(target.tensors))

    def outcome(self, started: float) -> Outcome:
        """Return the forecast, its seconds and memory as estimates."""
        targets = with_shares(self.plan, tuple(map(self.target, self.plan.targets.values())), self.computed)
        total, run = len(self.plan.actions), len(self.computed)
        kept, left = left_over(self.cache.directory) if run else (0, 0)  # by builds that died: what is used of it is read, and not run
        if kept:
            self.spared = (
                f"finished tensors kept of an interrupted build: {kept} ({human_bytes(left)}); those that fit are not merged again",
            )
        read = sum(ref.nbytes for ref in self.read) + left
        fresh = all(target.state == "fresh" for target in targets) and not run and not read
        known = 0.0 if fresh else self.lasting()
        seconds = (read + self.written) / _BYTES_PER_SECOND if known is None else known
        return Outcome(
            targets,
            Actions(total, run, total - run),
            self.plan.aliased,
            Bytes(read, self.written, self.linked),
            time.perf_counter() - started + seconds,
            self.memory(),
            (*self.spared, *self.plan.graph.notes, *self.plan.warnings),
            exact=self.judged.exact and not left and not any(isinstance(ref, Leaf) and not self.sources.known(ref) for ref in self.read),
            past_builds=0 if known is None else len(self.pace.builds),
        )

    def lasting(self) -> float | None:
        """Return how long the build will take, by how long others took; None where they tell too little."""
        costs = {**costs_of(self.computed), "copying": sum(ref.nbytes for ref in copies(self.plan, self.judged, self.drawing))}
        costs["reading"] = sum(ref.nbytes for ref in self.hashed())
        return self.pace.lasting(costs, self.budget.jobs, self.written)

    def hashed(self) -> set[Leaf]:
        """Return the source tensors that are digested before they are merged: where nothing is known, that is done on the way."""
        if not self.cache.records.any():
            return set()
        return {leaf for leaf in self.plan.leaves if not self.sources.known(leaf)}

    def memory(self) -> int:
        """Return the largest resident set that the build will have, by what others had beside their buffers."""
        held = buffers(self.judged.running, self.budget)
        known = self.pace.memory(held)
        return peak_rss() + held if known is None else known

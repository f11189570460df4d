"""Merges measured without being written: what the cache lacks is computed, and handed to the model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.cache.layout import prepare
from modelbuild.checks.loading import Subject, from_tensors
from modelbuild.engine.budget import share_out
from modelbuild.engine.choosing import Devices, assign, identity
from modelbuild.engine.crew import work
from modelbuild.engine.drawing import draw
from modelbuild.engine.engine import Engine
from modelbuild.engine.publish import Content, content_of, is_here
from modelbuild.engine.sealing import Sealer
from modelbuild.engine.shelves import Shelves
from modelbuild.engine.sources import SourceFiles
from modelbuild.events import Report
from modelbuild.plan import Leaf, Plan, Ref, Target
from modelbuild.stale import Fresh
from modelbuild.usecases.fetching import bring
from modelbuild.usecases.judging import judge_plan
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.subjects import digest_of


class Candidate(Struct, frozen=True, dict=True):
    """A merge planned, to be measured.

    Args:
        project: with the edits that make it, and in which the merge is not kept.
        plan: of it alone.
        target: it.
        cache: where records and packs are.

    """

    project: Project
    plan: Plan
    target: Target
    cache: Cache

    @classmethod
    def of(cls, project: Project, merge: str, cache: Cache) -> Candidate:
        """Plan a merge of a project; its tensors will not be kept, those that it rests on as the Modelfile says."""
        merges = {**project.graph.nodes}
        merges[merge] = replace(merges[merge], merge=replace(merges[merge].merge, keep=False))
        project = replace(project, graph=replace(project.graph, nodes=merges))
        plan = project.plan([merge])
        return cls(project, plan, plan.targets[merge], cache)

    def known(self) -> Subject | None:
        """Return the merge as it is known by records alone, without its weights; None where something has to be computed."""
        sources = SourceFiles(self.cache)
        try:
            judgements = judge_plan(self.plan, self.cache, sources, identity(Devices("cpu", "cpu"), self.plan.actions)).judgements

            def digest(ref: Ref) -> str:
                if isinstance(ref, Leaf):
                    return sources.known(ref)
                judgement = judgements[ref]
                return judgement.digest if isinstance(judgement, Fresh) else ""

            if not is_here(self.target) or not all(map(digest, self.target.tensors.values())):
                return None
            content = content_of(self.target, digest)
            return Subject(self.target.name, self.target.path, digest_of(content.root, content.small))
        finally:
            sources.close()

    @contextmanager
    def computed(self, options: Options, report: Report) -> Iterator[Subject]:
        """Compute the merge and give it as a model that loads from memory; what goes along lies in a directory that goes afterwards."""
        bring(self.plan, report)
        content, tensors = self._tensors(options)
        prepare(self.cache.directory)
        directory = self.cache.directory / f".check-{files.random_name()}"
        files.make_directory(directory)
        try:
            for name, data in content.small.items():
                files.write_new(directory / name, data)
            yield Subject(
                self.target.name, directory, digest_of(content.root, content.small), made=partial(from_tensors, directory, tensors)
            )
        finally:
            files.remove_tree(directory)

    def _tensors(self, options: Options) -> tuple[Content, Mapping[str, tuple[str, Sequence[int], bytearray]]]:
        """Settle every tensor of the target, and return the bytes of each with its type and shape."""
        devices, sources = assign(options.device, self.plan.actions), SourceFiles(self.cache)
        told = identity(devices, self.plan.actions)
        unwritten = replace(self.plan, targets={})
        judged = judge_plan(self.plan, self.cache, sources, told)
        running = judged.running | frozenset(action for action in self.plan.actions if not isinstance(judged.judgements[action], Fresh))
        budget = share_out(running, options.memory, options.jobs, devices)
        sealer = Sealer(self.cache.close)
        shelves = Shelves(self.cache, draw(unwritten, running, ()), sealer)
        engine = Engine(self.plan, self.cache, shelves, sources, devices, told, judged.judgements, budget, lambda event: None, force=False)
        found: dict[str, tuple[str, Sequence[int], bytearray]] = {}
        complete = False
        try:
            tasks = [partial(_read, engine, name, ref, found) for name, ref in self.target.tensors.items()]
            failed = work(tasks, budget.jobs, engine.stop, self.cache.close, keep_going=False) or sealer.wait()
            if failed:
                raise failed[0]
            shelves.take_in_kept()
            content = content_of(self.target, engine.digest)
            complete = True
            return content, {name: found[name] for name in self.target.tensors}
        finally:
            engine.flush()
            shelves.close(frozenset if complete else None)
            engine.close()
            sources.close()


def _read(engine: Engine, name: str, ref: Ref, found: dict[str, Any]) -> None:
    engine.digest(ref)
    region = engine.region(ref)
    data = bytearray(region.nbytes)
    region.read_into(memoryview(data), 0)
    found[name] = ref.dtype, ref.shape, data

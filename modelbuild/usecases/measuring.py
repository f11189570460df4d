"""What is measured of merged tensors, and kept: taken once, the first time somebody asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from math import isfinite
from threading import Lock, local

from modelbuild.cache import Cache
from modelbuild.cache.figures import Figures, FigureTable, figures_key
from modelbuild.engine.budget import raise_file_limit, share_out
from modelbuild.engine.choosing import Devices, open_device
from modelbuild.engine.crew import at_work, work
from modelbuild.engine.drawing import Drawing
from modelbuild.engine.engine import Engine
from modelbuild.engine.measuring import CHUNK, Measured, measurable, measure, reading
from modelbuild.engine.sealing import Sealer
from modelbuild.engine.shelves import Shelves
from modelbuild.engine.sources import SourceFiles
from modelbuild.engine.workspace import Job, Workspace
from modelbuild.events import Noted, Report
from modelbuild.names import human_bytes
from modelbuild.plan import Action, Leaf, Plan, Ref
from modelbuild.stale import Fresh
from modelbuild.usecases.judging import Judged


class Measurements:
    """The figures of a plan's merged tensors.

    Args:
        plan: whose actions are measured.
        cache: where figures are kept, and packs.
        sources: the source files of the plan.
        judged: tells what is built.
        devices: what computes what is no longer in the cache.
        told: what keys say of it.

    """

    def __init__(self, plan: Plan, cache: Cache, sources: SourceFiles, judged: Judged, devices: Devices, told: str) -> None:
        self._plan, self._cache, self._sources, self._judged = plan, cache, sources, judged
        self._devices, self._told = devices, told
        self._table = FigureTable(cache.index)

    def take(self, actions: Iterable[Action], report: Report) -> Mapping[Action, Figures]:
        """Return the figures of those that are built, and measure what was not measured before.

        What is in no pack any more is computed once more, by the keys that it had.
        """
        wanted = [what for action in dict.fromkeys(actions) if (what := measurable(action)) and self._is_built(what)]
        keys = {what: self._key(what) for what in wanted}
        known = self._table.get_many(keys.values())
        missing = list({keys[what]: what for what in wanted if keys[what] not in known}.values())
        if missing:
            nbytes = sum(ref.nbytes for what in missing for ref in dict.fromkeys((what.base, *what.parents, what.result)))
            report(Noted(f"measuring {len(missing)} tensors against what they were merged from, {human_bytes(nbytes)}: once"))
            known |= self._measured({what: keys[what] for what in missing}, report)
        return {what.result: known[key] for what, key in keys.items() if key in known}

    def _is_built(self, what: Measured) -> bool:
        return all(map(self._digest, (what.base, *what.parents, what.result)))

    def _key(self, what: Measured) -> str:
        return figures_key(self._digest(what.base), tuple(map(self._digest, what.parents)), self._digest(what.result))

    def _digest(self, ref: Ref) -> str:
        if isinstance(ref, Leaf):
            return self._sources.known(ref)
        judgement = self._judged.judgements.get(ref)
        return judgement.digest if isinstance(judgement, Fresh) else ""

    def _measured(self, missing: Mapping[Measured, str], report: Report) -> dict[str, Figures]:
        raise_file_limit()
        budget = share_out(self._computed_again(missing), 0, 0, self._devices)
        shelves = Shelves(self._cache, Drawing({}, (), {}), Sealer(self._cache.close))
        engine = Engine(self._plan, self._cache, shelves, self._sources, self._devices, self._told, {}, budget, report, force=False)
        found: dict[str, Figures] = {}
        left = Counter(ref for what in missing for ref in _read(what))
        lock, own = Lock(), local()

        def task(what: Measured, key: str) -> None:
            action = reading(what)
            regions = tuple(map(engine.region, action.needs))
            digests = tuple(map(engine.digest, action.needs))
            job = Job(action, regions, digests, (), _written, engine.check)
            if not hasattr(own, "workspace"):
                own.workspace = Workspace(open_device("cpu"), min(CHUNK, budget.chunk))
            figures = measure(what, job, own.workspace)
            self._sources.unchanged(ref for ref in action.needs if isinstance(ref, Leaf))
            with lock:
                if all(map(isfinite, figures.products)):  # else NaN is in it, which has no size
                    found[key] = figures
                left.subtract(_read(what))
                over = [ref for ref in _read(what) if not left[ref]]
            for ref in over:
                engine.let_go(ref)

        try:
            failed = work((partial(task, *one) for one in missing.items()), budget.jobs, engine.stop, self._cache.close, keep_going=False)
        finally:
            with lock:
                self._table.put_many(found)
            if not at_work():  # else a thread waits for a disk and uses files, which the end of the process will close
                shelves.leave()
                engine.close()
        if failed:
            raise failed[0]
        return found

    def _computed_again(self, missing: Iterable[Measured]) -> list[Action]:
        """Return the actions whose bytes are asked for and are in no pack, inputs first."""
        wanted = {ref for what in missing for ref in _read(what)}
        again: list[Action] = []
        for action in reversed(self._plan.actions):
            if action in wanted and not self._cache.packs.locate(self._digest(action), action.dtype, action.shape):
                again.append(action)
                wanted.update(action.needs)
        return again[::-1]


def _read(what: Measured) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys((what.base, *what.parents, what.result)))


def _written(_start: int, _data: memoryview) -> None:
    """Take no result: there is none."""

"""Choosing by results: a search over a merge's keys, and the ingredients of a greedy soup."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite

from msgspec import Struct
from msgspec.structs import replace

from modelbuild import files, lockfile
from modelbuild.cache import Cache
from modelbuild.checks.measured import Measured
from modelbuild.checks.measures import Measure
from modelbuild.checks.verdicts import is_higher_better, shown
from modelbuild.digest import KeyHasher
from modelbuild.engine.choosing import choose
from modelbuild.errors import ModelbuildError, Problem, among, did_you_mean
from modelbuild.events import Noted, Report
from modelbuild.lockfile import LockedSearch, LockedTrial
from modelbuild.modelfile.checks import SOUP
from modelbuild.modelfile.evaluation import Search
from modelbuild.modelfile.model import Merge, Modelfile
from modelbuild.usecases.candidates import Candidate
from modelbuild.usecases.evaluating import Measurer, prepared
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.samplers import first, sampler_of
from modelbuild.usecases.soups import check_of, definition_of, edit_of
from modelbuild.usecases.where import Where, modelfile_at


class Trial(Struct, frozen=True):
    """A candidate: what was set, and its score in each objective, nan where there is none."""

    edits: tuple[str, ...]
    scores: tuple[float, ...]


class Found(Struct, frozen=True):
    """What a search came to.

    Args:
        name: of the search, or of the soup.
        objectives: names of checks, each with whether higher is better.
        trials: in order.
        winner: the number of the best; with several objectives the one of the front whose ranks are lowest in sum.
        front: the numbers of those that no other is better than in every objective.
        evaluated: measurements that were made.
        cached: measurements that a record had.
        seconds: wall clock.
        lock: where it was written.

    """

    name: str
    objectives: tuple[tuple[str, bool], ...]
    trials: tuple[Trial, ...]
    winner: int
    front: tuple[int, ...]
    evaluated: int
    cached: int
    seconds: float
    lock: str


def search(where: Where, name: str, options: Options, report: Report) -> Found:
    """See `modelbuild.usecases.search`."""
    started = time.perf_counter()
    modelfile = modelfile_at(where)
    names = _named(modelfile, name)
    device = choose(options.device)
    unchosen = {soup: [one.model for one in merge.inputs] for soup, merge in _soups(modelfile).items()}
    project = Project.open(where, unchosen)
    measures = tuple(prepared(project, [modelfile.checks[one] for one in names], device).values())
    cache = project.cache()
    try:
        runner = _Runner(where, cache, measures, options, report, Measurer(cache, device, options.jobs, report))
        if name in modelfile.searches:
            trials, definition = _searched(runner, modelfile.searches[name]), _definition(modelfile.searches[name], measures)
            winner, front = _best(trials, runner.higher)
        else:
            (trials, winner), definition = _souped(runner, modelfile.merges[name]), definition_of(modelfile, modelfile.merges[name])
            front = (winner,)
        project.collect(cache, ())
    finally:
        cache.close()
    if where.overrides:
        report(Noted("with --set nothing is written into the lock"))
    else:
        _lock(where, name, LockedSearch(definition, winner, tuple(LockedTrial(one.edits, one.scores) for one in trials)))
    objectives = tuple(zip(names, runner.higher, strict=True))
    counts = len(runner.measurer.evaluated), len(runner.measurer.cached)
    return Found(
        name, objectives, tuple(trials), winner, front, *counts, time.perf_counter() - started, "" if where.overrides else str(where.lock)
    )


def _soups(modelfile: Modelfile) -> Mapping[str, Merge]:
    return {name: merge for name, merge in modelfile.merges.items() if merge.method == SOUP}


def _named(modelfile: Modelfile, name: str) -> tuple[str, ...]:
    """Return the objectives of a search, or of a soup."""
    if name in modelfile.searches:
        return modelfile.searches[name].objectives
    soups = _soups(modelfile)
    if name not in soups:
        known = [*modelfile.searches, *soups]
        facts = (f"declared: {among(known)}" if known else "none is declared",)
        raise ModelbuildError(
            Problem(f"no search is called `{name}`", facts=facts, hint=did_you_mean(name, known) or "add a [search.NAME] table")
        )
    return (check_of(soups[name]),)


class _Runner:
    """Measures candidates."""

    def __init__(
        self, where: Where, cache: Cache, measures: tuple[Measure, ...], options: Options, report: Report, measurer: Measurer
    ) -> None:
        self.where, self.cache, self.measures = where, cache, measures
        self.options, self.report, self.measurer = options, report, measurer
        self.higher = [False] * len(measures)
        self._count = 0

    def run(self, merge: str, edits: Sequence[str], chosen: Mapping[str, Sequence[str]]) -> tuple[float, ...]:
        """Measure one candidate: by records if they have it, else computed and in memory."""
        said = (*edits, *(edit_of(*one) for one in chosen.items()))
        where = replace(self.where, overrides=(*self.where.overrides, *edits))
        candidate = Candidate.of(Project.open(where, chosen), merge, self.cache)
        known = candidate.known()
        keys = [measure.key(known) for measure in self.measures] if known else []
        if known and len(self.cache.measurements.get_many(keys)) == len({*keys}):
            self.measurer.measure([(measure, known) for measure in self.measures])
            return self._scored([self.measurer.result(measure, known) for measure in self.measures], said)
        with candidate.computed(self.options, self.report) as subject:
            self.measurer.measure([(measure, subject) for measure in self.measures])
            return self._scored([self.measurer.result(measure, subject) for measure in self.measures], said)

    def _scored(self, results: Iterable[Measured | ModelbuildError], edits: Sequence[str]) -> tuple[float, ...]:
        scores = []
        for at, one in enumerate(results):
            if isinstance(one, ModelbuildError):
                raise one
            self.higher[at] = is_higher_better(self.measures[at].check, one)
            scores.append(one.value)
        self._count += 1
        told = ", ".join(f"{measure.check.name} {shown(score)}" for measure, score in zip(self.measures, scores, strict=True))
        self.report(Noted(f"candidate {self._count}: {told} with {' '.join(edits)}"))
        return tuple(scores)


def _searched(runner: _Runner, told: Search) -> list[Trial]:
    sampler = sampler_of(told)
    trials: list[Trial] = []
    for point in first(sampler, told.trials):
        edits = tuple(f"{axis.key}={_toml(value)}" for axis, value in zip(told.space, point, strict=True))
        scores = runner.run(told.of, edits, {})
        sampler.tell([-score if higher else score for score, higher in zip(scores, runner.higher, strict=True)])
        trials.append(Trial(edits, scores))
    return trials


def _souped(runner: _Runner, merge: Merge) -> tuple[list[Trial], int]:
    """Make a greedy soup: ingredients by their own scores, best first; each stays if the score does not fall with it.

    Returns:
        Every soup that was tasted, and the number of the last that was kept.

    """
    models = [one.model for one in merge.inputs]
    trials: list[Trial] = []

    def score(ingredients: Sequence[str]) -> float:
        ordered = [model for model in models if model in ingredients]
        scores = runner.run(merge.name, (), {merge.name: ordered})
        trials.append(Trial((edit_of(merge.name, ordered),), scores))
        return (scores[0] if runner.higher[0] else -scores[0]) if isfinite(scores[0]) else -inf

    alone = {model: score([model]) for model in models}
    ranked = sorted(models, key=lambda model: (-alone[model], models.index(model)))
    soup, best, kept = [ranked[0]], alone[ranked[0]], models.index(ranked[0])
    for model in ranked[1:]:
        with_it = score([*soup, model])
        if with_it >= best:
            soup, best, kept = [*soup, model], with_it, len(trials) - 1
    return trials, kept


def _best(trials: Sequence[Trial], higher: Sequence[bool]) -> tuple[int, tuple[int, ...]]:
    """Return the winner, and those that no other is at least as good as in every objective and better than in one."""
    losses = [tuple((-x if up else x) if isfinite(x) else inf for x, up in zip(trial.scores, higher, strict=True)) for trial in trials]
    front = tuple(i for i, one in enumerate(losses) if not any(_dominates(other, one) for other in losses))
    ranks = [sum(sum(other[k] < one[k] for other in losses) for k in range(len(one))) for one in losses]
    return min(front, key=lambda i: (ranks[i], -len(trials[i].edits), i)), front


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def _definition(told: Search, measures: Sequence[Measure]) -> str:
    hasher = KeyHasher("search")
    hasher.field("search", repr((told.of, told.space, told.sampler, told.trials, told.seed)))
    hasher.field(
        "objectives", tuple(repr((measure.check.kind, measure.check.how, measure.check.dtype, measure.inputs)) for measure in measures)
    )
    return hasher.key()


def _lock(where: Where, name: str, found: LockedSearch) -> None:
    lock = lockfile.read(where.lock) or lockfile.Lock()
    after = replace(lock, searches={**lock.searches, name: found})
    if after != lock:
        files.write_atomic(where.lock, lockfile.to_text(after).encode())


def _toml(value: object) -> str:
    """Write a value as TOML: JSON, in which lists are lists."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)

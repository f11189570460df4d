"""Models side by side by the scores of checks: a merge, and what it was made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any

from msgspec import Struct

from modelbuild.checks.intervals import Interval, difference, interval
from modelbuild.checks.loading import Subject
from modelbuild.checks.measured import Measured
from modelbuild.checks.measures import Measure
from modelbuild.checks.verdicts import is_higher_better, metric_of
from modelbuild.engine.choosing import choose
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Report
from modelbuild.modelfile.evaluation import Check
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.names import is_meant
from modelbuild.usecases.evaluating import Measurer, prepared
from modelbuild.usecases.outcome import Options, Outcome
from modelbuild.usecases.project import Project
from modelbuild.usecases.subjects import Subjects
from modelbuild.usecases.testing import parents_of
from modelbuild.usecases.where import Where


class Compared(Struct, frozen=True):
    """One model's score in one check.

    Args:
        model: its name.
        score: with its interval.
        apart: how much higher it is than the first model's; None of that one itself.
        why: why there is no score, or "".

    """

    model: str
    score: Interval | None
    apart: Interval | None
    why: str = ""


class Contrast(Struct, frozen=True):
    """One check of all models."""

    check: str
    metric: str
    higher_is_better: bool
    models: tuple[Compared, ...]


class Contrasts(Struct, frozen=True):
    """Models side by side; differences are to the first of them."""

    models: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    evaluated: int
    cached: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        return {
            "models": list(self.models),
            "evaluated": self.evaluated,
            "cached": self.cached,
            "seconds": self.seconds,
            "checks": [
                {
                    "check": one.check,
                    "metric": one.metric,
                    "higher_is_better": one.higher_is_better,
                    "models": [
                        {"model": cell.model, "score": _plain(cell.score), "difference": _plain(cell.apart), "why": cell.why}
                        for cell in one.models
                    ],
                }
                for one in self.contrasts
            ],
        }


def compare(where: Where, models: Sequence[str], options: Options, report: Report, *, only: Sequence[str]) -> Contrasts:
    """See `modelbuild.usecases.compare`."""
    project = Project.open(where)
    chosen = _chosen(project, models)
    checks = [check for check in _checks(project, chosen) if not only or any(fnmatchcase(check.name, pattern) for pattern in only)]
    if not checks:
        facts = ("models are compared by checks of kind perplexity, lm_eval or command",)
        raise ModelbuildError(Problem(f"no check gives a score of {chosen[0]}", facts=facts, hint="add a [check.NAME] table"))
    device = choose(options.device)
    measures = prepared(project, checks, device)
    merges = tuple(name for name in chosen if name in project.modelfile.merges)
    from modelbuild.usecases import build

    outcome = build(where, merges, options, report) if merges else Outcome.nothing()
    if outcome.exit_code != Exit.DONE:
        raise ModelbuildError(outcome.problems, Exit(outcome.exit_code))
    started = time.perf_counter()
    cache = project.cache()
    try:
        subjects = Subjects(project, cache, outcome)
        measurer = Measurer(cache, device, options.jobs, report)
        found = {name: subjects.of(name) for name in chosen}
        measurer.measure([(measures[check.name], subject) for subject in found.values() for check in checks])
        contrasts = tuple(_contrast(measurer, measures[check.name], found) for check in checks)
    finally:
        cache.close()
    return Contrasts(chosen, contrasts, len(measurer.evaluated), len(measurer.cached), time.perf_counter() - started)


def _chosen(project: Project, models: Sequence[str]) -> tuple[str, ...]:
    """Return the models that are named; of a single one, or of none, also what it was made of."""
    known = {**project.modelfile.sources, **project.modelfile.merges}
    wrong = [misnamed(name, f"no source or merge is called `{name}`", known) for name in models if name not in known]
    problems = [Problem(what, facts=facts, hint=hint) for what, facts, hint in wrong]
    if problems:
        raise ModelbuildError(problems)
    named = tuple(dict.fromkeys(models or (project.target(""),)))
    if len(named) > 1 or named[0] not in project.modelfile.merges:
        return named
    parents = [parent for check in _checks(project, named) for parent in parents_of(project, check, named[0])]
    return tuple(dict.fromkeys([named[0], *parents]))


def _checks(project: Project, models: Sequence[str]) -> list[Check]:
    """Return the checks that give a score, and are of any of the models; of sources alone, all of them."""
    merges = [name for name in models if name in project.modelfile.merges]
    return [
        check
        for check in project.modelfile.checks.values()
        if check.is_scored and (not merges or not check.of or any(is_meant(name, pattern) for name in merges for pattern in check.of))
    ]


def _contrast(measurer: Measurer, measure: Measure, subjects: Mapping[str, Subject]) -> Contrast:
    results = {name: measurer.result(measure, subject) for name, subject in subjects.items()}
    first = next(iter(results.values()))
    cells: list[Compared] = []
    for name, one in results.items():
        if isinstance(one, ModelbuildError):
            cells.append(Compared(name, None, None, "; ".join((one.problems[0].what, *one.problems[0].facts))))
        else:
            apart = difference(one, first) if one is not first and isinstance(first, Measured) else None
            cells.append(Compared(name, interval(one), apart))
    scored = next((one for one in results.values() if isinstance(one, Measured)), Measured())
    return Contrast(measure.check.name, metric_of(measure.check), is_higher_better(measure.check, scored), tuple(cells))


def _plain(span: Interval | None) -> dict[str, Any] | None:
    if span is None:
        return None
    value, low, high = ((one if isfinite(one) else None) for one in (span.value, span.low, span.high))
    return {"value": value, "low": low, "high": high, "interval": span.how}

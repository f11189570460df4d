"""Checks run on what was built: `modelbuild test`, and the gate of whatever hands a model on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild.checks.loading import Subject
from modelbuild.checks.measures import Measure
from modelbuild.checks.verdicts import Verdict, judge
from modelbuild.engine.choosing import choose
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Report
from modelbuild.modelfile.evaluation import Check
from modelbuild.modelfile.model import Modelfile
from modelbuild.names import is_meant
from modelbuild.usecases.evaluating import Measurer, Wanted, prepared
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.subjects import Subjects
from modelbuild.usecases.where import Where

ALWAYS: tuple[Literal["loads", "finite"], ...] = ("loads", "finite")
"""The checks that every target has, unless the Modelfile declares one of that kind itself."""


class Result(Struct, frozen=True):
    """What a check says of a target.

    Args:
        target: the merge.
        check: its name.
        kind: of the check.
        verdict: what it says.
        cached: whether a record had the target's measurement.
        seconds: that measuring took, of other models for the bounds as well; what several results need counts for the first.

    """

    target: str
    check: str
    kind: str
    verdict: Verdict
    cached: bool
    seconds: float = 0.0


class Checked(Struct, frozen=True):
    """A run of checks.

    Args:
        results: by target, in the order of the Modelfile.
        evaluated: measurements that were made, of targets and of the models that they are compared with.
        cached: measurements that a record had.
        seconds: wall clock, the build left out.
        points: of the targets that are variants, what each has from its matrix, by parameter.

    """

    results: tuple[Result, ...]
    evaluated: int
    cached: int
    seconds: float
    points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Result, ...]:
        """Those that say no."""
        return tuple(one for one in self.results if one.verdict.state == "failed")

    @property
    def exit_code(self) -> int:
        """Of the program."""
        return Exit.ACTION_FAILED if self.failed else Exit.DONE

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        return {
            "passed": not self.failed,
            "evaluated": self.evaluated,
            "cached": self.cached,
            "seconds": self.seconds,
            "points": {name: dict(point) for name, point in self.points.items()},
            "checks": [
                {
                    "target": one.target,
                    "check": one.check,
                    "kind": one.kind,
                    "cached": one.cached,
                    "seconds": one.seconds,
                    **one.verdict.to_json(),
                }
                for one in self.results
            ],
        }


def checks_of(modelfile: Modelfile, target: str) -> tuple[Check, ...]:
    """Return the checks that a target has: those of every target first, then the Modelfile's, in its order."""
    declared = modelfile.checks.values()
    defaults = [Check(kind, kind, (), ("check", kind)) for kind in ALWAYS if not any(check.kind == kind for check in declared)]
    own = [check for check in declared if not check.of or any(is_meant(target, pattern) for pattern in check.of)]
    return (*defaults, *own)


def parents_of(project: Project, check: Check, target: str) -> tuple[str, ...]:
    """Return the models that a target is held against: those that the check names, else the sources that it rests on."""
    if check.parents:
        return tuple(name for name in check.parents if name != target)
    sources = project.modelfile.sources
    models = {model for node in project.graph.upstream([target]) for model in project.graph.nodes[node].models}
    return tuple(name for name in sources if name in models)


def test(
    where: Where,
    targets: Sequence[str],
    options: Options,
    report: Report,
    *,
    only: Sequence[str],
    again: bool,
) -> Checked:
    """See `modelbuild.usecases.test`."""
    project = Project.open(where)
    names = project.targets(targets)
    chosen = {name: _selected(checks_of(project.modelfile, name), only) for name in names}
    _refuse_unknown(only, chosen)
    device = choose(options.device)
    measures = prepared(project, {check.name: check for checks in chosen.values() for check in checks}.values(), device)
    others = {name: {check.name: others_of(project, check, name) for check in checks} for name, checks in chosen.items()}
    merges = [
        model for by_check in others.values() for models in by_check.values() for model in models if model in project.modelfile.merges
    ]
    from modelbuild.usecases import build

    outcome = build(where, tuple(dict.fromkeys([*names, *merges])), options, report)
    if outcome.exit_code != Exit.DONE:
        raise ModelbuildError(outcome.problems, Exit(outcome.exit_code))
    started = time.perf_counter()
    cache = project.cache()
    try:
        subjects = Subjects(project, cache, outcome)
        measurer = Measurer(cache, device, options.jobs, report)
        asked = {
            (name, check.name): [(measures[check.name], subject) for subject in _asked(subjects, check, name, others[name][check.name])]
            for name, checks in chosen.items()
            for check in checks
        }
        measurer.measure(_first_of_each([one for wanted in asked.values() for one in wanted]), again=again)
        results = tuple(
            replace(
                _result(measurer, subjects, measures[check.name], name, parents_of(project, check, name)),
                seconds=sum(measurer.take_seconds(*one) for one in asked[name, check.name]),
            )
            for name, checks in chosen.items()
            for check in checks
        )
    finally:
        cache.close()
    points = {target.name: target.point for target in outcome.targets if target.point and target.name in chosen}
    return Checked(results, len(measurer.evaluated), len(measurer.cached), time.perf_counter() - started, points)


def _selected(checks: Sequence[Check], only: Sequence[str]) -> tuple[Check, ...]:
    return tuple(check for check in checks if not only or any(fnmatchcase(check.name, pattern) for pattern in only))


def _refuse_unknown(only: Sequence[str], chosen: Mapping[str, Sequence[Check]]) -> None:
    known = list(dict.fromkeys(check.name for checks in chosen.values() for check in checks))
    if only and not known:
        raise ModelbuildError(
            Problem(f"no check of these targets is called {' or '.join(f'`{one}`' for one in only)}", hint="`modelbuild test` runs all")
        )


def others_of(project: Project, check: Check, target: str) -> tuple[str, ...]:
    """Return the models whose scores the bounds of a check need."""
    parents = parents_of(project, check, target) if check.needs_parents else ()
    return tuple(dict.fromkeys([*parents, *(model for bound in check.bounds for model in bound.models)]))


def _asked(subjects: Subjects, check: Check, target: str, others: Sequence[str]) -> list[Subject]:
    own = subjects.of(target)
    if own.is_adapter and check.kind not in ALWAYS:
        return []
    return [own, *map(subjects.of, others)]


def _first_of_each(asked: Sequence[Wanted]) -> list[Wanted]:
    """Leave out what is asked twice, and bring together what is asked of one model."""
    unique = {measure.key(subject): (measure, subject) for measure, subject in reversed(asked)}
    return [*reversed(unique.values())]


def _result(measurer: Measurer, subjects: Subjects, measure: Measure, target: str, parents: Sequence[str]) -> Result:
    check, subject = measure.check, subjects.of(target)
    if subject.is_adapter and check.kind not in ALWAYS:
        return Result(target, check.name, check.kind, Verdict("skipped", ("it is an adapter, no model",)), cached=True)

    def of(name: str) -> Any:
        return measurer.result(measure, subjects.of(name))

    verdict = judge(check, measurer.result(measure, subject), of, parents if check.needs_parents else ())
    return Result(target, check.name, check.kind, verdict, measurer.is_cached(measure, subject))

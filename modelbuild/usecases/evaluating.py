"""Measurements by record: what is known is not measured again, and what is measured is kept at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelbuild.cache import Cache
from modelbuild.cache.layout import prepare
from modelbuild.checks import harness
from modelbuild.checks.loading import Loaded, Subject
from modelbuild.checks.measured import Measured, from_json
from modelbuild.checks.measures import Measure
from modelbuild.checks.measures import prepare as prepare_measure
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Evaluated, Report
from modelbuild.modelfile.evaluation import Check, Harness
from modelbuild.usecases.project import Project

Wanted = tuple[Measure, Subject]


class Measurer:
    """Measures models, each kept in memory as long as anything is to be measured of it.

    Args:
        cache: knows and keeps what was measured.
        device: where models compute: cpu or cuda:N.
        threads: of a CPU, 0 for as many as torch likes.
        report: told of every measurement.

    """

    def __init__(self, cache: Cache, device: str, threads: int, report: Report) -> None:
        """Begin with nothing measured."""
        self._cache, self._device, self._threads, self._report = cache, device, threads, report
        self._found: dict[str, Measured] = {}
        self._failed: dict[str, ModelbuildError] = {}
        self.evaluated: set[str] = set()
        """Keys of what was measured, and is no longer to be found by its record alone."""
        self.cached: set[str] = set()
        self._seconds: dict[str, float] = {}

    def measure(self, wanted: Sequence[Wanted], *, again: bool = False) -> None:
        """Measure what no record holds; what cannot be measured is told when it is asked for.

        Args:
            wanted: what of which model.
            again: measure all of it, whatever is known.

        """
        keys = {measure.key(subject): (measure, subject) for measure, subject in wanted}
        known = {} if again else self._cache.measurements.get_many(keys)
        for key, stored in known.items():
            measured = from_json(stored)
            if measured:
                self._found[key] = measured
                self.cached.add(key)
        left = {key: one for key, one in keys.items() if key not in self._found}
        for digest in dict.fromkeys(subject.digest for _, subject in left.values()):
            own = {key: one for key, one in left.items() if one[1].digest == digest}
            loaded = Loaded(next(iter(own.values()))[1], self._device, self._threads)
            try:
                for key, (measure, _) in own.items():
                    self._run(key, measure, loaded)
            finally:
                loaded.close()

    def result(self, measure: Measure, subject: Subject) -> Measured | ModelbuildError:
        """Return what was measured, or why it could not be."""
        key = measure.key(subject)
        return self._failed[key] if key in self._failed else self._found[key]

    def is_cached(self, measure: Measure, subject: Subject) -> bool:
        """Tell whether a record had it."""
        return measure.key(subject) in self.cached

    def take_seconds(self, measure: Measure, subject: Subject) -> float:
        """Return how long something was measured; 0 where a record had it, and to who asks again.

        The time in which a model is loaded is that of the first thing that is measured of it.
        """
        return self._seconds.pop(measure.key(subject), 0.0)

    def _run(self, key: str, measure: Measure, loaded: Loaded) -> None:
        started = time.perf_counter()
        prepare(self._cache.directory)
        try:
            self._found[key] = measure.measure(loaded, self._cache.directory)
        except ModelbuildError as error:
            if error.exit_code != Exit.ACTION_FAILED:
                raise
            self._failed[key] = error
        else:
            self._cache.measurements.put(key, self._found[key].to_json())
        self.evaluated.add(key)
        self._seconds[key] = time.perf_counter() - started
        self._report(Evaluated(measure.name, loaded.subject.name, self._seconds[key]))


def prepared(project: Project, checks: Iterable[Check], device: str) -> dict[str, Measure]:
    """Make checks ready, by name.

    Raises:
        ModelbuildError: with everything that is wrong with them and their files; exit 8 if one runs what a model wrote.

    """
    root: Path = project.where.root
    measures: dict[str, Measure] = {}
    problems: list[Problem] = []
    unsafe: list[Problem] = []
    locate = project.modelfile.locator.problem
    for check in checks:
        try:
            measures[check.name] = prepare_measure(check, root, device)
            running = _running_code(check, root, project)
        except ModelbuildError as error:
            problems += [locate(one.what, check.path, facts=one.facts, hint=one.hint) for one in error.problems]
            continue
        if running:
            facts = (f"{', '.join(f'`{task}`' for task in running)}: the code is the model's own, and nothing holds it back",)
            hint = "write `unsafe = true` in the check if that may happen on this machine"
            unsafe.append(locate(f"`{check.name}` would run code that models write", check.path, facts=facts, hint=hint))
    if unsafe or problems:
        raise ModelbuildError([*unsafe, *problems], Exit.UNSAFE if unsafe else Exit.USAGE)
    return measures


def _running_code(check: Check, root: Path, project: Project) -> tuple[str, ...]:
    """Return the tasks of a check that run what a model writes, though it does not say that they may.

    The index of lm-eval's own tasks takes seconds to be read, so what it says of them is remembered.
    """
    if not isinstance(check.how, Harness) or check.how.unsafe:
        return ()
    tasks = check.how.tasks
    found = harness.running_code([task for task in tasks if harness.is_file(task)], root)
    named = [task for task in tasks if not harness.is_file(task)]
    if not named:
        return found
    cache = project.cache()
    try:
        keys = {task: f"unsafe {harness.version()} {task}" for task in named}
        known = cache.answers.get_many(keys.values())
        left = [task for task in named if not isinstance(known.get(keys[task]), bool)]
        ran = harness.running_code(left, root) if left else ()
        for task in left:
            cache.answers.put(keys[task], task in ran)
        return (*found, *(task for task in named if known.get(keys[task]) is True or task in ran))
    finally:
        cache.close()

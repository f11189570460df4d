"""Which values a search tries next."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice, product
from math import exp, log
from typing import Any, Protocol

from modelbuild.errors import ModelbuildError, Problem
from modelbuild.modelfile.evaluation import Axis, Search
from modelbuild.names import dotted

Value = bool | float | str | tuple[float, ...]
Point = tuple[Value, ...]
"""A value for each axis, in order."""


class Sampler(Protocol):
    """Proposes points, one after another, and is told how each did before it is asked for the next."""

    def points(self) -> Iterator[Point]:
        """Yield points."""

    def tell(self, scores: Sequence[float]) -> None:
        """Take the scores of the last point, lower ones better."""


class _Given:
    """Points that do not depend on scores."""

    def __init__(self, points: Iterator[Point]) -> None:
        self._points = points

    def points(self) -> Iterator[Point]:
        return self._points

    def tell(self, scores: Sequence[float]) -> None:
        pass


class _Optuna:
    """One of Optuna's samplers: https://optuna.org.  Seeded, so that the same scores give the same points."""

    def __init__(self, search: Search) -> None:
        if find_spec("optuna") is None:
            what, at = f"`{search.sampler}` is a sampler of Optuna, which is not installed", dotted((*search.path, "sampler"))
            hint = "`pip install 'modelbuild[search]'`, or write `sampler = \"random\"`"
            raise ModelbuildError(Problem(what, at, hint=hint))
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        kinds: dict[str, Any] = {
            "tpe": optuna.samplers.TPESampler,
            "nsga2": optuna.samplers.NSGAIISampler,
        }
        self._search = search
        self._study = optuna.create_study(directions=["minimize"] * len(search.objectives), sampler=kinds[search.sampler](seed=search.seed))
        self._trial: Any = None

    def points(self) -> Iterator[Point]:
        while True:
            self._trial = self._study.ask()
            yield tuple(self._value(axis) for axis in self._search.space)

    def tell(self, scores: Sequence[float]) -> None:
        import optuna

        sound = all(score == score for score in scores)  # noqa: PLR0124 - nan
        self._study.tell(self._trial, list(scores) if sound else None, None if sound else optuna.trial.TrialState.FAIL)

    def _value(self, axis: Axis) -> Value:
        if axis.values:
            chosen: int = self._trial.suggest_categorical(axis.key, range(len(axis.values)))
            return axis.values[chosen]
        return _short(self._trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log))


def sampler_of(search: Search) -> Sampler:
    """Return what proposes the points of a search.

    Raises:
        ModelbuildError: exit 2 if it needs Optuna, which is not installed.

    """
    if search.sampler == "grid":
        return _Given(iter(product(*(axis.values for axis in search.space))))
    if search.sampler == "random":
        return _Given(_random(search))
    return _Optuna(search)


def first(sampler: Sampler, count: int) -> Iterator[Point]:
    """Yield the first points of a sampler."""
    return islice(sampler.points(), count)


def _random(search: Search) -> Iterator[Point]:
    """Yield points each of which depends on the seed and its number alone: more trials begin with those of fewer."""
    number = 0
    while True:
        draw = random.Random(f"{search.seed} {number}")  # noqa: S311 - no secret
        yield tuple(_drawn(axis, draw) for axis in search.space)
        number += 1


def _drawn(axis: Axis, draw: random.Random) -> Value:
    if axis.values:
        return draw.choice(axis.values)
    return _short(exp(draw.uniform(log(axis.low), log(axis.high))) if axis.log else draw.uniform(axis.low, axis.high))


def _short(value: float) -> float:
    """Round to six digits, so that what wins can be written down."""
    return float(f"{value:.6g}")

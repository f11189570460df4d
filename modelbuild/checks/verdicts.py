"""What a measurement comes to: held against the bounds and patterns of its check, which no record holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isfinite, nan
from typing import Any, Literal

from msgspec import Struct

from modelbuild.checks.generation import faults
from modelbuild.checks.intervals import interval
from modelbuild.checks.measured import Measured
from modelbuild.errors import ModelbuildError
from modelbuild.modelfile.evaluation import Check, Command, Generation, Prediction

State = Literal["passed", "failed", "measured", "skipped"]
"""Measured: it has no bound, so it says nothing for or against."""

Scores = Callable[[str], Measured | ModelbuildError]


class Verdict(Struct, frozen=True):
    """What a check says of a model.

    Args:
        state: the verdict.
        said: why, in lines.
        score: nan where the check gives none.
        low: the lower end of the score's 95 % interval, nan where it is not known.
        high: the upper end.
        how: how the interval was found, or "".
        parts: the score of each text or task.
        faults: what it failed by, each in a line: those bounds and answers, without the score and what holds.

    """

    state: State
    said: tuple[str, ...]
    score: float = nan
    low: float = nan
    high: float = nan
    how: str = ""
    parts: tuple[tuple[str, float], ...] = ()
    faults: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: null for what is not known."""
        score, low, high = ((value if isfinite(value) else None) for value in (self.score, self.low, self.high))
        parts = {name: value if isfinite(value) else None for name, value in self.parts}
        return {
            "state": self.state,
            "said": list(self.said),
            "score": score,
            "low": low,
            "high": high,
            "interval": self.how,
            "parts": parts,
            "faults": list(self.faults),
        }


def shown(value: float) -> str:
    """Write a score for people: with four digits, and without an exponent where that is short."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def is_higher_better(check: Check, measured: Measured) -> bool:
    """Tell which of two scores of a check is the better one."""
    return check.how.higher_is_better if isinstance(check.how, Command) else measured.higher_is_better


def metric_of(check: Check) -> str:
    """Return how people call the score of a check."""
    return check.how.metric if isinstance(check.how, Prediction) else "score"


def judge(check: Check, measured: Measured | ModelbuildError, others: Scores, parents: Sequence[str]) -> Verdict:
    """Hold a measurement against a check.

    Args:
        check: what is asked for.
        measured: what was measured of the model, or why it could not be.
        others: what was measured of another model, by name.
        parents: the models that `parents` stands for, where a bound needs them.

    """
    if isinstance(measured, ModelbuildError):
        said = tuple(line for one in measured.problems for line in (one.what, *one.facts))
        return Verdict("failed", said, faults=tuple(": ".join((one.what, *one.facts[:1])) for one in measured.problems))
    if isinstance(check.how, Generation):
        found = tuple(faults(measured.answers, check.how))
        answers = f"{len(measured.answers)} answers" if len(measured.answers) > 1 else "1 answer"
        return Verdict("failed" if found else "passed", found or (answers,), faults=found)
    if not check.is_scored or (not measured.parts and not check.bounds):
        return Verdict("failed" if measured.problems else "passed", measured.problems or measured.facts, faults=measured.problems)
    return _scored(check, measured, others, parents)


def _scored(check: Check, measured: Measured, others: Scores, parents: Sequence[str]) -> Verdict:
    span = interval(measured)
    within = f" ({shown(span.low)} to {shown(span.high)})" if span.how else ""
    said = [f"{metric_of(check)} {shown(span.value)}{within}"]
    parts = tuple((name, measured.score_of(part.value)) for name, part in measured.parts.items())
    if not isfinite(span.value):
        none = ("its score is no number",)
        return Verdict("failed", none, span.value, parts=parts, faults=none)
    unknown = [f"`{name}` has no score: {one.problems[0].facts[0] if one.problems[0].facts else one.problems[0].what}"
               for name in dict.fromkeys([*parents, *(model for bound in check.bounds for model in bound.models)])
               if isinstance(one := others(name), ModelbuildError)]  # fmt: skip
    if unknown:
        return Verdict("failed", (*said, *unknown), span.value, span.low, span.high, span.how, parts, tuple(unknown))
    lines = [*_held(check, measured, others, parents)]
    said += (line for _, line in lines)
    faults = tuple(line for held, line in lines if not held)
    state: State = "failed" if faults else "passed" if check.bounds else "measured"
    return Verdict(state, tuple(said), span.value, span.low, span.high, span.how, parts, faults)


def _held(check: Check, measured: Measured, others: Scores, parents: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """Yield whether each bound holds, and the line that says so."""
    higher = is_higher_better(check, measured)

    def score(name: str) -> float:
        one = others(name)
        return nan if isinstance(one, ModelbuildError) else one.value

    scores = [score(name) for name in parents]
    for bound, word in ((check.least, "at least"), (check.most, "at most")):
        if bound and bound.of_parents and not parents:
            yield True, f"{word} {bound.text}: not asked, for it is what others are held against"
        elif bound:
            limit = bound.value(score, scores, higher_is_better=higher)
            held = measured.value >= limit if word == "at least" else measured.value <= limit
            yield held, f"{'' if held else 'not '}{word} {shown(limit)}" + ("" if bound.is_number else f" = {bound.text}")
    if check.retention and not parents:
        yield True, f"{check.retention.text} retained: not asked, for it is what others are held against"
    elif check.retention:
        wanted = check.retention.value(score, scores, higher_is_better=higher)
        best = max(scores) if higher else min(scores)
        divisor, dividend = (best, measured.value) if higher else (measured.value, best)
        kept = dividend / divisor if divisor else nan
        held = kept >= wanted
        name = parents[scores.index(best)] if best in scores else "the best parent"
        yield held, f"{'' if held else 'only '}{kept:.1%} of {name}'s {shown(best)} retained, at least {wanted:.1%} asked for"

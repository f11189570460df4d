"""What came out of a measurement, as data that a record can hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, isfinite, nan
from statistics import fmean
from typing import Any

from msgspec import Struct, field

Units = tuple[tuple[float, float], ...]
"""Of each unit of a text or a task a sum and a count: their totals' quotient is the mean."""

MOST_UNITS = 2048
"""Units of one part; of more, neighbours are taken together."""


class Part(Struct, frozen=True):
    """One text or task of a check.

    Args:
        value: its mean; of a text nats per token, or bits per byte.
        units: what it is the mean of; () where only the mean is known.
        error: the standard error of `value` where `units` do not tell, else nan.

    """

    value: float
    units: Units = ()
    error: float = nan


class Answer(Struct, frozen=True):
    """What a model wrote after a prompt, and the share of its 4-grams of tokens that it had written before."""

    text: str
    repetition: float


class Measured(Struct, frozen=True):
    """One measurement of one model.

    Args:
        parts: by name; each counts as much as any other.
        unit: what the units of parts are: windows, documents, or "".
        exponential: whether the score is the exponential of the mean: a perplexity.
        higher_is_better: of two scores; of a command its check says so.
        answers: to the prompts, in their order.
        problems: what is wrong with the model.
        facts: what else was seen.

    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    unit: str = ""
    exponential: bool = False
    higher_is_better: bool = True
    answers: tuple[Answer, ...] = ()
    problems: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The score: the mean over the parts, or its exponential; nan where there is none."""
        return self.score_of(fmean(part.value for part in self.parts.values())) if self.parts else nan

    def score_of(self, mean: float) -> float:
        """Turn a mean into a score."""
        return exp(min(mean, 700.0)) if self.exponential else mean  # beyond 709 there is no such float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, which has no nan and no infinity: they become null."""
        return {
            "parts": {
                name: [_finite(part.value), [[_finite(total), count] for total, count in part.units], _finite(part.error)]
                for name, part in self.parts.items()
            },
            "unit": self.unit,
            "exponential": self.exponential,
            "higher": self.higher_is_better,
            "answers": [[answer.text, answer.repetition] for answer in self.answers],
            "problems": list(self.problems),
            "facts": list(self.facts),
        }


def from_json(table: object) -> Measured | None:
    """Read back what `to_json` gave; None for anything else."""
    match table:
        case {
            "parts": dict(parts),
            "unit": str(unit),
            "exponential": bool(exponential),
            "higher": bool(higher),
            "answers": list(answers),
            "problems": list(problems),
            "facts": list(facts),
        }:
            try:
                return Measured(
                    {
                        str(name): Part(_number(value), tuple((_number(total), float(count)) for total, count in units), _number(error))
                        for name, (value, units, error) in parts.items()
                    },
                    unit,
                    exponential,
                    higher,
                    tuple(Answer(str(text), float(repetition)) for text, repetition in answers),
                    tuple(map(str, problems)),
                    tuple(map(str, facts)),
                )
            except (ValueError, TypeError):
                return None
    return None


def part_of(units: list[tuple[float, float]]) -> Part:
    """Return the part that some units make: with at most 2,048 of them."""
    step = -(-len(units) // MOST_UNITS) or 1
    grouped = tuple(
        (sum(total for total, _ in units[i : i + step]), sum(count for _, count in units[i : i + step])) for i in range(0, len(units), step)
    )
    total, count = sum(one for one, _ in grouped), sum(one for _, one in grouped)
    return Part(total / count if count else nan, grouped)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _number(value: float | None) -> float:
    return nan if value is None else float(value)

"""How sure a score is: 95 % intervals, by resampling what it is the mean of.

The units of each text or task are drawn with replacement, as many as there are, 2,000 times (Efron and Tibshirani, *An Introduction to
the Bootstrap*, 1993, chapter 13: percentile intervals).  Two models that were measured on the same units are resampled together, so
that what is hard for both cancels out (chapter 8, two-sample problems, taken in pairs).  The draws are seeded: the same scores give the
same interval.
"""

from __future__ import annotations

from math import isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    import numpy

    from modelbuild.checks.measured import Measured, Part

DRAWS = 2000
_SEED = 0
_NORMAL = 1.959963984540054
"""Standard errors from the middle of a normal distribution to the ends of its middle 95 %."""

How = Literal["bootstrap", "paired bootstrap", "standard error", ""]


class Interval(Struct, frozen=True):
    """A value with the ends of its 95 % interval; nan where they are not known, and `how` is "" then."""

    value: float
    low: float
    high: float
    how: How


def interval(measured: Measured) -> Interval:
    """Return a score and its interval: by bootstrap over units, or from standard errors where a task gives only those."""
    value = measured.value
    if measured.parts and all(_can_draw(part) for part in measured.parts.values()):
        low, high = _ends(_drawn([measured])[0])
        return Interval(value, measured.score_of(low), measured.score_of(high), "bootstrap")
    error = _error(measured)
    if isfinite(error):
        return Interval(value, value - _NORMAL * error, value + _NORMAL * error, "standard error")
    return Interval(value, nan, nan, "")


def difference(one: Measured, other: Measured) -> Interval:
    """Return how much higher one score is than another, and the interval of that."""
    value = one.value - other.value
    both = (one, other)
    if one.parts.keys() == other.parts.keys() and all(_paired(one.parts[name], other.parts[name]) for name in one.parts):
        import numpy

        drawn = _drawn(list(both))
        ours, theirs = (
            numpy.exp(numpy.minimum(means, 700.0)) if measured.exponential else means for measured, means in zip(both, drawn, strict=True)
        )
        low, high = _ends(ours - theirs)
        return Interval(value, low, high, "paired bootstrap")
    errors = [(span.high - span.low) / (2 * _NORMAL) for span in map(interval, both)]
    if all(map(isfinite, errors)):
        apart = _NORMAL * sqrt(sum(error**2 for error in errors))
        return Interval(value, value - apart, value + apart, "standard error")
    return Interval(value, nan, nan, "")


def _can_draw(part: Part) -> bool:
    return len(part.units) > 1 and all(isfinite(total) for total, _ in part.units)


def _paired(one: Part, other: Part) -> bool:
    """Tell whether two parts were measured on the same units; their counts are equal then."""
    return _can_draw(one) and _can_draw(other) and [count for _, count in one.units] == [count for _, count in other.units]


def _drawn(measured: list[Measured]) -> list[numpy.ndarray[Any, Any]]:
    """Return the mean of each under the same 2,000 draws, shape (DRAWS,)."""
    import numpy

    draw = numpy.random.default_rng(_SEED)
    means = [numpy.zeros(DRAWS) for _ in measured]
    for name in measured[0].parts:
        size = len(measured[0].parts[name].units)
        chosen = draw.multinomial(size, numpy.full(size, 1 / size), DRAWS)  # (DRAWS, units)
        for at, one in enumerate(measured):
            units = numpy.array(one.parts[name].units)  # (units, 2)
            totals = chosen @ units
            means[at] += totals[:, 0] / totals[:, 1] / len(one.parts)
    return means


def _ends(values: numpy.ndarray[Any, Any]) -> tuple[float, float]:
    import numpy

    low, high = numpy.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _error(measured: Measured) -> float:
    """Return the standard error of a mean over parts that are independent of each other."""
    if measured.exponential or not measured.parts:
        return nan
    return sqrt(sum(part.error**2 for part in measured.parts.values())) / len(measured.parts)

"""An interpolation whose share depends on how far two inputs are apart, element by element."""

from __future__ import annotations

from typing import Any

from modelbuild.kernels.loops.access import load, store
from modelbuild.kernels.loops.compiled import ONE, Scalar, kernel


@kernel
def near(x: Any, y: Any, t: Scalar, least: Scalar, out: Any, n: int) -> None:
    """Write w y + (1 - w) x, where w = t / |x - y|, at most 1."""
    for i in range(n):
        a, b = load(x, i), load(y, i)
        apart = abs(a - b)
        w = t / (apart if apart > least else least)  # noqa: FURB136 - of NaN, numba's max and min say other things
        w = w if w < ONE else ONE  # noqa: FURB136
        store(out, i, (w * b) + ((ONE - w) * a))

"""What kernels read from and write to: arrays, and small formulas over arrays.

A kernel that is given `Trimmed(Delta(x, base), ...)` subtracts and trims where it reads, element by element, so that a
whole merge is one pass over the bytes as they lie in files.  Operands nest; each is rounded to float32 at every step, as
if its steps were passes of their own.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Delta(NamedTuple):
    """The difference x - base: a task vector."""

    x: Any
    base: Any


class Trimmed(NamedTuple):
    """x where the bits of its magnitude are above `threshold`, else +0.0; the first `equals` elements also where they are equal."""

    x: Any
    threshold: Any
    equals: Any


class Dropped(NamedTuple):
    """+0.0 where `Trimmed` would keep, else x."""

    x: Any
    threshold: Any
    equals: Any


class Masked(NamedTuple):
    """factor * x where the mask is set, else +0.0."""

    x: Any
    mask: Any
    factor: Any


class Plus(NamedTuple):
    """A place to write: what comes is added to the base, base + x, before it is stored in `raw`."""

    raw: Any
    base: Any


def length(operand: Any) -> int:
    """Return the number of elements."""
    while isinstance(operand, tuple):
        operand = operand[0]
    return len(operand)

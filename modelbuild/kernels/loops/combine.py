"""Elementwise combinations of inputs: sums and the sign consensus of TIES.

A tuple of n operands is a type of its own, so a loop over it unrolls and the whole combination, from stored bytes to
stored bytes, is one pass.  More inputs than make a sensible loop are combined in groups, which gives the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels.loops.access import load, store
from modelbuild.kernels.loops.compiled import ONE, ZERO, Scalar, bits, kernel, number, u32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    F32s = NDArray[np.float32]

Operand = Any
"""What `load` reads."""

NOTHING, SIGN = u32(0), u32(0x80000000)
"""Bits of a float32."""


@kernel
def copy(x: Operand, out: Operand, n: int) -> None:
    """Write x."""
    for i in range(n):
        store(out, i, load(x, i))


@kernel
def write_products(
    inputs: tuple[Operand, ...], weights: tuple[np.float32, ...], divisor: np.float32, scale: np.float32, out: Operand, n: int
) -> None:
    """Write scale * (((w0 * x0) + (w1 * x1) + ...) / divisor), left to right."""
    for i in range(n):
        result = weights[0] * load(inputs[0], i)
        for k in range(1, len(inputs)):
            result += weights[k] * load(inputs[k], i)
        store(out, i, scale * (result / divisor))


@kernel
def add_products(inputs: tuple[Operand, ...], weights: tuple[np.float32, ...], out: F32s, n: int) -> None:
    """Go on with a sum: out + (w0 * x0) + ... left to right."""
    for i in range(n):
        result = out[i]
        for k in range(len(inputs)):
            result += weights[k] * load(inputs[k], i)
        out[i] = result


@kernel
def add_signs(inputs: tuple[Operand, ...], weights: tuple[np.float32, ...], out: F32s, n: int) -> None:
    """Go on with a count: out + 1 where w0 * x0 is positive, - 1 where it is negative, and so on."""
    for i in range(n):
        result = out[i]
        for k in range(len(inputs)):
            product = weights[k] * load(inputs[k], i)
            result += ONE if product > ZERO else ZERO
            result -= ONE if product < ZERO else ZERO
        out[i] = result


@kernel
def turned(elected: Scalar) -> Scalar:
    """Return the bit that makes what is on the elected side positive: the sign's where that is negative, or NaN."""
    return NOTHING if elected >= ZERO else SIGN


@kernel
def agrees(product: Scalar, turn: Scalar) -> Scalar:
    """Tell whether a product is strictly on the elected side; one comparison, as two of which one counts do not vectorise well."""
    return number(u32(bits(product) ^ turn)) > ZERO


@kernel
def consensus_fused(
    deltas: tuple[Operand, ...], weights: tuple[np.float32, ...], normalize: int, scale: np.float32, out: Operand, n: int
) -> None:
    """Elect, gather and divide in one pass."""
    for i in range(n):
        elected = weights[0] * load(deltas[0], i)
        for k in range(1, len(deltas)):
            elected += weights[k] * load(deltas[k], i)
        turn = turned(elected)
        mixed, divisor = ZERO, ZERO
        for k in range(len(deltas)):
            product = weights[k] * load(deltas[k], i)
            agree = agrees(product, turn)
            mixed += product if agree else ZERO
            divisor += weights[k] if agree else ZERO
        if normalize:
            mixed /= ONE if divisor == ZERO else divisor
        store(out, i, scale * mixed)


@kernel
def gather(deltas: tuple[Operand, ...], weights: tuple[np.float32, ...], elected: F32s, mixed: F32s, divisor: F32s, n: int) -> None:
    """Go on with the two sums over those who agree with an election."""
    for i in range(n):
        turn = turned(elected[i])
        sum_of_products, sum_of_weights = mixed[i], divisor[i]
        for k in range(len(deltas)):
            product = weights[k] * load(deltas[k], i)
            agree = agrees(product, turn)
            sum_of_products += product if agree else ZERO
            sum_of_weights += weights[k] if agree else ZERO
        mixed[i], divisor[i] = sum_of_products, sum_of_weights


@kernel
def finish(mixed: F32s, divisor: F32s, normalize: int, scale: np.float32, out: Operand, n: int) -> None:
    """Divide what was gathered, and scale it."""
    for i in range(n):
        result = mixed[i]
        if normalize:
            result /= ONE if divisor[i] == ZERO else divisor[i]
        store(out, i, scale * result)

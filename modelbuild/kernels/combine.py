"""Elementwise combinations of inputs: sums and the sign consensus of TIES.

A tuple of n arrays is a type of its own, so a loop over it unrolls and the whole combination is one pass.  LLVM stops
vectorising beyond eight arrays: more inputs than FUSED are combined in groups, which gives the same bits.

Nor does it vectorise where it sees arrays overlap when it runs, so `out` is None for working in place, which compiles
a version of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelbuild.kernels.compiled import ONE, ZERO, Scalar, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32s = NDArray[np.float32]

FUSED = 6
"""Inputs combined in one pass; bounds how many versions of a kernel can get compiled."""


@kernel
def subtract(x: F32s, base: F32s, out: F32s | None) -> None:
    """Write x - base."""
    if out is None:
        out = x
    for i in range(x.size):
        out[i] = x[i] - base[i]


@kernel
def add(x: F32s, y: F32s, out: F32s | None) -> None:
    """Write x + y."""
    if out is None:
        out = x
    for i in range(x.size):
        out[i] = x[i] + y[i]


@kernel
def scale(x: F32s, factor: np.float32, out: F32s | None) -> None:
    """Write factor * x."""
    if out is None:
        out = x
    for i in range(x.size):
        out[i] = factor * x[i]


@kernel
def divide(x: F32s, divisor: np.float32) -> None:
    """Divide in place."""
    for i in range(x.size):
        x[i] /= divisor


@kernel
def write_products(inputs: tuple[F32s, ...], weights: tuple[np.float32, ...], out: F32s) -> None:
    """Write (w0 * x0) + (w1 * x1) + ... left to right."""
    for i in range(out.size):
        result = weights[0] * inputs[0][i]
        for k in range(1, len(inputs)):
            result += weights[k] * inputs[k][i]
        out[i] = result


@kernel
def add_products(inputs: tuple[F32s, ...], weights: tuple[np.float32, ...], out: F32s) -> None:
    """Go on with a sum: out + (w0 * x0) + ... left to right."""
    for i in range(out.size):
        result = out[i]
        for k in range(len(inputs)):
            result += weights[k] * inputs[k][i]
        out[i] = result


def weighted_sum(inputs: tuple[F32s, ...], weights: tuple[np.float32, ...], divisor: np.float32, out: F32s) -> None:
    """Write the weighted sum of any number of inputs, divided."""
    write_products(inputs[:FUSED], weights[:FUSED], out)
    for k in range(FUSED, len(inputs), FUSED):
        add_products(inputs[k : k + FUSED], weights[k : k + FUSED], out)
    if divisor != ONE:
        divide(out, divisor)


@kernel
def agrees(product: Scalar, positive: Scalar) -> Scalar:
    """Tell whether a product is strictly on the elected side."""
    return ((product > ZERO) & positive) | ((product < ZERO) & (not positive))


@kernel
def consensus_fused(deltas: tuple[F32s, ...], weights: tuple[np.float32, ...], normalize: bool, scale: np.float32, out: F32s) -> None:  # noqa: FBT001 - numba
    """Elect, gather and divide in one pass."""
    for i in range(out.size):
        elected = weights[0] * deltas[0][i]
        for k in range(1, len(deltas)):
            elected += weights[k] * deltas[k][i]
        positive = elected >= ZERO
        mixed, divisor = ZERO, ZERO
        for k in range(len(deltas)):
            product = weights[k] * deltas[k][i]
            agree = agrees(product, positive)
            mixed += product if agree else ZERO
            divisor += weights[k] if agree else ZERO
        if normalize:
            mixed /= ONE if divisor == ZERO else divisor
        out[i] = scale * mixed


@kernel
def gather_agreeing(delta: F32s, weight: np.float32, elected: F32s, mixed: F32s, divisor: F32s) -> None:
    """Add one input to the sums of those who agree with the election."""
    for i in range(delta.size):
        product = weight * delta[i]
        agree = agrees(product, elected[i] >= ZERO)
        mixed[i] += product if agree else ZERO
        divisor[i] += weight if agree else ZERO


@kernel
def finish_consensus(mixed: F32s, divisor: F32s, normalize: bool, scale: np.float32, out: F32s) -> None:  # noqa: FBT001 - numba
    """Divide what was gathered, and scale it."""
    for i in range(out.size):
        result = mixed[i]
        if normalize:
            result /= ONE if divisor[i] == ZERO else divisor[i]
        out[i] = scale * result


def consensus(deltas: tuple[F32s, ...], weights: tuple[np.float32, ...], normalize: bool, scale: np.float32, out: F32s) -> None:  # noqa: FBT001 - as the kernels
    """Write the TIES consensus of any number of inputs."""
    if len(deltas) <= FUSED:
        consensus_fused(deltas, weights, normalize, scale, out)
        return
    elected, mixed, divisor = np.empty_like(out), np.zeros_like(out), np.zeros_like(out)
    weighted_sum(deltas, weights, ONE, elected)
    for delta, weight in zip(deltas, weights, strict=True):
        gather_agreeing(delta, weight, elected, mixed, divisor)
    finish_consensus(mixed, divisor, normalize, scale, out)

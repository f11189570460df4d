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

GATHERED = 4
"""Inputs gathered in one pass, which has two arrays to write."""

TILE = 16384
"""Elements that many inputs are combined over at a time, so that passes meet them in cache."""


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
def consensus_fused(deltas: tuple[F32s, ...], weights: tuple[np.float32, ...], normalize: bool, scale: np.float32, out: F32s) -> None:
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
def gather(deltas: tuple[F32s, ...], weights: tuple[np.float32, ...], elected: F32s, mixed: F32s, divisor: F32s) -> None:
    """Go on with the two sums over those who agree with an election."""
    for i in range(elected.size):
        positive = elected[i] >= ZERO
        sum_of_products, sum_of_weights = mixed[i], divisor[i]
        for k in range(len(deltas)):
            product = weights[k] * deltas[k][i]
            agree = agrees(product, positive)
            sum_of_products += product if agree else ZERO
            sum_of_weights += weights[k] if agree else ZERO
        mixed[i], divisor[i] = sum_of_products, sum_of_weights


@kernel
def finish(mixed: F32s, divisor: F32s, normalize: bool, scale: np.float32, out: F32s) -> None:
    """Divide what was gathered, and scale it."""
    for i in range(out.size):
        result = mixed[i]
        if normalize:
            result /= ONE if divisor[i] == ZERO else divisor[i]
        out[i] = scale * result


def consensus(deltas: tuple[F32s, ...], weights: tuple[np.float32, ...], normalize: bool, scale: np.float32, out: F32s) -> None:
    """Write the TIES consensus of any number of inputs."""
    if len(deltas) <= FUSED:
        consensus_fused(deltas, weights, normalize, scale, out)
        return
    scratch = np.empty((3, TILE), np.float32)
    for start in range(0, out.size, TILE):
        tile = slice(start, start + TILE)
        inputs = tuple(delta[tile] for delta in deltas)
        elected, mixed, divisor = scratch[:, : inputs[0].size]
        weighted_sum(inputs, weights, ONE, elected)
        scratch[1:] = 0.0
        for k in range(0, len(inputs), GATHERED):
            gather(inputs[k : k + GATHERED], weights[k : k + GATHERED], elected, mixed, divisor)
        finish(mixed, divisor, normalize, scale, out[tile])

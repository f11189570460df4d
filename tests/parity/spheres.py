"""The methods that average directions, and nearswap, written from their formulas in float64.

Sources: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985 (nuslerp); Goddard, "Multi-SLERP", 2024,
https://goddard.blog/posts/multislerp-wow-what-a-cool-idea; Buss and Fillmore, "Spherical Averages and Applications to Spherical
Splines and Interpolation", 2001, algorithm A1 (karcher); the QuartetAnemoi-70B-t0.0001 model card (nearswap).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Exact = NDArray[np.float64]


def nuslerp(inputs: Sequence[Exact], *, weight: Sequence[float], axis: int | None) -> Exact:
    """Go from one tensor to another along the arc; `axis` None takes each as one vector, else its vectors one by one."""
    x0, x1 = inputs
    t = weight[1] / sum(weight)
    aa, ab, bb = (np.sum(x * y, axis=axis, keepdims=True) for x, y in ((x0, x0), (x0, x1), (x1, x1)))
    norms = np.maximum(np.sqrt(aa), 1e-7) * np.maximum(np.sqrt(bb), 1e-7)
    cosine = np.clip(ab / norms, -1, 1)
    straight = 1 - cosine**2 <= 2.0**-24
    angle = np.arccos(np.where(straight, 0.0, cosine))
    sine = np.sin(angle)
    on_arc = (np.sin((1 - t) * angle) * x0 + np.sin(t * angle) * x1) / sine
    return np.asarray(np.where(straight, (1 - t) * x0 + t * x1, on_arc))


def multislerp(inputs: Sequence[Exact], *, weight: Sequence[float]) -> Exact:
    """Average n tensors of shape (*S) in the tangent space at their mean."""
    shares = [one / sum(weight) for one in weight]
    norms = [float(np.linalg.norm(x)) for x in inputs]
    units = [x / (norm + 1e-8) for x, norm in zip(inputs, norms, strict=True)]
    mean = _weighted(units, shares)
    length = float(np.linalg.norm(mean))
    if length < 2.0**-23:
        return _weighted(inputs, shares)
    mean = mean / length
    tangent = _weighted([unit - np.sum(unit * mean) * mean for unit in units], shares)
    angle = float(np.linalg.norm(tangent)) + 1e-8
    size = sum(share * norm for share, norm in zip(shares, norms, strict=True))
    return np.asarray(size * (np.cos(angle) * mean + np.sin(angle) / angle * tangent))


def karcher(inputs: Sequence[Exact], *, steps: int = 10, tol: float = 1e-5) -> Exact:
    """Average the directions of n tensors of shape (*S), none of them zero, by at most so many steps."""
    norms = [float(np.linalg.norm(x)) for x in inputs]
    shares = [1 / len(inputs)] * len(inputs)
    units = [x / norm for x, norm in zip(inputs, norms, strict=True)]
    mean = _weighted(units, shares)
    mean = mean / np.linalg.norm(mean)
    for _ in range(steps):
        pulls = []
        for unit in units:
            cosine = float(np.clip(np.sum(unit * mean), -1, 1))
            angle = float(np.arccos(cosine))
            pulls.append((unit - cosine * mean) * (angle / np.sin(angle) if angle >= tol else 0.0))
        tangent = _weighted(pulls, shares)
        length = float(np.linalg.norm(tangent))
        if length < tol:
            break
        mean = np.cos(length) * mean + np.sin(length) / length * tangent
        mean = mean / np.linalg.norm(mean)
    return np.asarray(mean * np.mean(norms))


def nearswap(base: Exact, other: Exact, *, t: float) -> Exact:
    """Take the other where it is near, else approach it by t."""
    share = np.clip(t / np.maximum(abs(base - other), 1e-6), 0, 1)
    return np.asarray(share * other + (1 - share) * base)


def _weighted(tensors: Sequence[Exact], shares: Sequence[float]) -> Exact:
    return np.asarray(np.sum([share * x for share, x in zip(shares, tensors, strict=True)], axis=0))

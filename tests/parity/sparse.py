"""The methods that keep some entries of task vectors and drop others, and Model Stock, written from their formulas in float64.

Sources: Davari and Belilovsky, "Model Breadcrumbs", 2023, https://arxiv.org/abs/2312.06795, section 3; Wan et al., "FuseChat",
2024, https://arxiv.org/abs/2408.07990, section 3.3 (SCE); "Behavior Knowledge Merge in Reinforced Agentic Models", 2026,
https://arxiv.org/abs/2601.13572 (RAM); Jang et al., "Model Stock", 2024, https://arxiv.org/abs/2403.19522, section 4.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .comparing import Floats, Mask

    Exact = NDArray[np.float64]

CLOSE = 1e-3
"""Variances closer than this share of them to the least selected may be in another order, or another number of them be selected."""


def window(count: int, density: float, gamma: float) -> tuple[int, int]:
    """Return how many of the largest go, and how many are left with what is kept after them."""
    keep = int(density * count)
    top = min(int(gamma * count), count - keep)
    return top, top + keep


def breadcrumbs(deltas: Sequence[Floats], *, density: float, gamma: float) -> list[Floats]:
    """Keep of each what follows the largest, the lowest index first among equals."""
    kept = []
    for delta in deltas:
        top, end = window(delta.size, density, gamma)
        order = np.argsort(-np.abs(delta), axis=None, kind="stable")[top:end]
        one = np.zeros(delta.size, np.float32)
        one[order] = delta.ravel()[order]
        kept.append(one.reshape(delta.shape))
    return kept


def contested(deltas: Sequence[Floats], *, density: float, gamma: float) -> Mask:
    """Mark entries of which some are kept and some are not though their magnitudes are equal."""
    mask: Mask = np.zeros(deltas[0].shape, np.bool_)
    for delta in deltas:
        magnitude = np.abs(delta)
        ordered = np.sort(magnitude, axis=None)[::-1]
        for place in window(delta.size, density, gamma):
            if 0 < place < delta.size and ordered[place - 1] == ordered[place]:
                mask |= magnitude == ordered[place]
    return mask


def agreed(deltas: Sequence[Floats], *, weight: Sequence[float], normalize: bool) -> Exact:
    """Elect signs in float32, and sum or average who agrees."""
    votes = np.zeros(deltas[0].shape, np.float32)
    for delta, factor in zip(deltas, weight, strict=True):
        votes += delta * np.float32(factor)
    agree = [np.where(votes >= 0, delta * factor > 0, delta * factor < 0) for delta, factor in zip(deltas, weight, strict=True)]
    merged = np.sum([mine * delta.astype(np.float64) * factor for mine, delta, factor in zip(agree, deltas, weight, strict=True)], axis=0)
    if not normalize:
        return np.asarray(merged)
    divisor = np.sum([mine * factor for mine, factor in zip(agree, weight, strict=True)], axis=0)
    return np.asarray(merged / np.where(divisor == 0, 1, divisor))


def varying(deltas: Sequence[Floats], share: float) -> tuple[Mask, Mask]:
    """Mark the entries that vary most, as float32 sees it, and those of which that is uncertain."""
    count = np.float32(len(deltas))
    mean = np.sum(deltas, axis=0, dtype=np.float32) / count
    variance = (np.sum([(delta - mean) ** 2 for delta in deltas], axis=0, dtype=np.float32) / count).ravel()
    varies = np.any(np.asarray(deltas) != deltas[0], axis=0).ravel()
    variance = np.where(varies, variance, 0)
    keep = int(np.count_nonzero(varies) * share)
    order = np.argsort(-variance, kind="stable")
    selected = np.zeros(variance.size, np.bool_)
    selected[order[:keep]] = True
    near = np.abs(variance - variance[order[keep - 1]]) <= CLOSE * variance
    return selected.reshape(deltas[0].shape), near.reshape(deltas[0].shape)


def sce(deltas: Sequence[Floats], *, share: float) -> Exact:
    """Select, weigh by squares, erase who disagrees."""
    if share < 1:
        selected, _ = varying(deltas, share)
        deltas = [np.where(selected, delta, np.float32(0)) for delta in deltas]
    squares = [float(np.mean(delta.astype(np.float64) ** 2)) for delta in deltas]
    weight = [one / sum(squares) for one in squares] if sum(squares) >= 1e-6 else [1 / len(deltas)] * len(deltas)
    positive = np.sum(deltas, axis=0, dtype=np.float32) >= 0
    agree = [np.where(positive, delta > 0, delta < 0) for delta in deltas]
    divisor = np.sum([mine * one for mine, one in zip(agree, weight, strict=True)], axis=0)
    merged = np.sum([mine * one * delta.astype(np.float64) for mine, one, delta in zip(agree, weight, deltas, strict=True)], axis=0)
    return np.asarray(merged / np.maximum(divisor, 1e-6))


def ram(deltas: Sequence[Floats], *, r: float = 0.0, alpha: float = 0.0, epsilon: float = 1e-5) -> Exact:
    """Keep what is unique, times 1 + r min(rho, alpha), and average what is shared."""
    changed = [np.abs(delta) > np.float32(epsilon) for delta in deltas]
    count = np.sum(changed, axis=0)
    merged = np.zeros(deltas[0].shape, np.float64)
    for delta, mine in zip(deltas, changed, strict=True):
        rho = float((mine & (count > 1)).sum() / max((mine & (count == 1)).sum(), epsilon))
        factor = np.where(count == 1, 1 + r * min(rho, alpha), 1 / np.maximum(count, 1))
        merged += mine * factor * delta.astype(np.float64)
    return merged


def model_stock(deltas: Sequence[Floats], *, by_row: bool) -> Exact:
    """Draw the average back to the base by the mean cosine."""
    rows = [delta.astype(np.float64).reshape(-1, delta.shape[-1] if by_row else delta.size) for delta in deltas]
    lengths = [np.linalg.norm(one, axis=-1, keepdims=True) for one in rows]
    cosines = [
        (rows[i] * rows[j]).sum(-1, keepdims=True) / np.maximum(lengths[i] * lengths[j], 1e-6) for i, j in combinations(range(len(rows)), 2)
    ]
    cosine = np.clip(cosines, -1, 1).mean(axis=0)
    count = len(rows)
    return np.asarray((cosine / (1 + (count - 1) * cosine) * np.sum(rows, axis=0)).reshape(deltas[0].shape))

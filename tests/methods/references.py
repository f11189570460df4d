"""What methods should give, in float64 from their formulas, element by element; written without the project's kernels.

Random masks and the entries that a selection keeps are discrete: they are taken from float32 deltas, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from modelbuild import kernels
from tests.engine.jobs import Case

F64s = NDArray[np.float64]
Reference = Callable[[Case, list[F64s], Mapping[str, object]], F64s]
"""reference(case, inputs or deltas, parameters by Python name) -> the result, or the merged delta."""


UNDECIDED = 2.0**-20
"""Votes that cancel to less than this share of them may come out on either side."""


def average(case, xs, p):
    """Sum of w x, over the sum of w."""
    return sum(w * x for w, x in zip(p["weight"], xs, strict=True)) / (sum(p["weight"]) if p["normalize"] else 1.0)


def arc(case, xs, p):
    """Shoemake's formula."""
    a, b = xs
    angle = np.arccos(np.clip(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    if abs(np.cos(angle)) > 0.9995:
        return (1 - p["t"]) * a + p["t"] * b
    return (np.sin((1 - p["t"]) * angle) * a + np.sin(p["t"] * angle) * b) / np.sin(angle)


def scaled(case, xs, p):
    """One number."""
    return p["scale"][0] * xs[0]


def summed(case, ds, p):
    """Lambda times the sum of w d."""
    return p["scale"] * average(case, ds, p)


def agreed(case, ds, p):
    """The mean or sum of those on the elected side; NaN where float32 may see another side."""
    weighted = [w * d for w, d in zip(p["weight"], ds, strict=True)]
    counted = p.get("elect") == "count"
    ballots = list(map(np.sign, weighted)) if counted else weighted
    votes, all_votes = sum(ballots), 0.0 if counted else sum(map(np.abs, ballots))
    agree = [np.where(votes >= 0, one > 0, one < 0) for one in weighted]
    mixed = sum(np.where(mine, one, 0.0) for mine, one in zip(agree, weighted, strict=True))
    if p["normalize"]:
        share = sum(np.where(mine, w, 0.0) for mine, w in zip(agree, p["weight"], strict=True))
        mixed = mixed / np.where(share == 0, 1.0, share)
    return np.where(np.abs(votes) < UNDECIDED * all_votes, np.nan, p["scale"] * mixed)


def trimmed(case, ds, p):
    """TIES: of each the largest, the lowest index among equals; then as `agreed`."""
    kept = []
    for d, density in zip(ds, p["density"], strict=True):
        order = np.argsort(-np.abs(d.astype(np.float32)).reshape(-1), kind="stable")
        keep = max(1, int(density * d.size)) if density < 1 else d.size
        out = np.zeros(d.size)
        out[order[:keep]] = d.reshape(-1)[order[:keep]]
        factor = np.abs(d).sum() / np.abs(out).sum() if p["rescale"] == "l1" else 1.0
        kept.append(factor * out.reshape(d.shape))
    return agreed(case, kept, p)


def dropped(case, ds, p):
    """DARE's first half: masks are the project's, factors from sums in float64."""
    twin = kernels.load("torch:cpu")
    for d, density, stream in zip(ds, p["density"], case.streams, strict=True):
        mask = twin.mask(stream, density, 0, d.size).numpy().reshape(d.shape)
        rest = np.abs(d)[mask].sum()
        factor = {"l1": np.abs(d).sum() / rest if rest else 1.0, "none": 1.0, "inverse_density": 1 / density if density else 1.0}
        yield np.where(mask, d * factor[p["rescale"]], 0.0)


def along(a, b, t):
    """Shoemake's formula for each vector along the last dimension, beyond its ends as well."""
    lengths = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    angle = np.arccos(np.clip((a * b).sum(-1, keepdims=True) / lengths, -1, 1))
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def arc_by_share(case, xs, p):
    """NuSLERP: of whole tensors, of rows or of columns."""
    t = p["weight"][1] / sum(p["weight"])
    if p["nuslerp_flatten"]:
        return along(*(x.reshape(-1) for x in xs), t).reshape(xs[0].shape)
    return along(xs[0].T, xs[1].T, t).T if p["nuslerp_row_wise"] else along(*xs, t)


def spherical(case, xs, p):
    """The weighted mean of directions, times the weighted sum of lengths: one step on the sphere from there goes nowhere."""
    weight = np.array(p["weight"]) / (sum(p["weight"]) if p["normalize_weights"] else 1.0)
    lengths = [np.linalg.norm(x) for x in xs]
    mean = sum(w * x / length for w, x, length in zip(weight, xs, lengths, strict=True))
    return mean / np.linalg.norm(mean) * np.dot(weight, lengths)


def frechet(case, xs, p):
    """Karcher's iteration on vectors."""
    lengths = [np.linalg.norm(x) for x in xs]
    units = [x / length for x, length in zip(xs, lengths, strict=True)]
    mean = sum(units) / np.linalg.norm(sum(units))
    for _ in range(p["max_iter"]):
        angles = [np.arccos(np.clip(np.vdot(u, mean), -1, 1)) for u in units]
        step = sum(a / np.sin(a) * (u - np.cos(a) * mean) for u, a in zip(units, angles, strict=True)) / len(units)
        size = np.linalg.norm(step)
        if size < p["tol"]:
            break
        mean = np.cos(size) * mean + np.sin(size) * step / size
    return mean * np.mean(lengths)


def weiszfeld(case, xs, p):
    """The geometric median, from the mean on."""
    y = sum(w * x for w, x in zip(p["weight"], xs, strict=True)) / sum(p["weight"])
    for _ in range(p["max_iter"]):
        pull = [w / np.linalg.norm(x - y) for w, x in zip(p["weight"], xs, strict=True)]
        moved = sum(w * x for w, x in zip(pull, xs, strict=True)) / sum(pull)
        moved, y = np.linalg.norm(moved - y), moved
        if moved < p["tol"] * max(np.linalg.norm(a - b) for a in xs for b in xs):
            break
    return y


def moving(case, xs, p):
    """The exponential moving average, step by step, divided by what its weights come to."""
    average, held = (0.0, 0.0) if p["debias"] else (xs[0], 1.0)
    for x in xs if p["debias"] else xs[1:]:
        average, held = p["decay"] * average + (1 - p["decay"]) * x, p["decay"] * held + (1 - p["decay"])
    return average / held


def nearing(case, xs, p):
    """NearSwap."""
    share = np.minimum(p["t"] / np.maximum(np.abs(xs[0] - xs[1]), 1e-6), 1.0)
    return share * xs[1] + (1 - share) * xs[0]


def stocked(case, ds, p):
    """Model Stock: of the tensor, or of each row."""
    vectors = ds if p["filter_wise"] else [d.reshape(1, -1) for d in ds]
    cosines = [
        (a * b).sum(-1, keepdims=True) / np.linalg.norm(a, axis=-1, keepdims=True) / np.linalg.norm(b, axis=-1, keepdims=True)
        for i, a in enumerate(vectors)
        for b in vectors[i + 1 :]
    ]
    cosine, count = sum(cosines) / len(cosines), len(ds)
    t = count * cosine / (1 + (count - 1) * cosine)
    return (t * sum(vectors) / count).reshape(ds[0].shape)


def crumbs(case, ds, p):
    """Breadcrumbs' first half: sorted by falling magnitude, the lowest index first among equals, the middle is kept."""
    for d, density, gamma in zip(ds, p["density"], p["gamma"], strict=True):
        order = np.argsort(-np.abs(d.astype(np.float32)).reshape(-1), kind="stable")
        keep = int(density * d.size)
        top = 0 if density == 1 else min(int(gamma * d.size), d.size - keep)
        out = np.zeros(d.size)
        out[order[top : top + keep]] = d.reshape(-1)[order[top : top + keep]]
        yield (np.abs(d).sum() / np.abs(out).sum() if p["rescale"] == "l1" else 1.0) * out.reshape(d.shape)


def sampled(case, ds, p):
    """DELLA's first half: random numbers are the project's, probabilities from ranks, factors from sums in float64."""
    twin = kernels.load("torch:cpu")
    for d, density, spread, stream in zip(ds, p["density"], p["epsilon"], case.streams, strict=True):
        rows = np.abs(d.astype(np.float32)).reshape(-1, d.shape[-1])
        ranks = np.array([[((row < one).sum() + (row <= one).sum() - 1) / 2 for one in row] for row in rows])
        epsilon = min(spread, density, 1 - density)
        probability = density - epsilon + 2 * epsilon * (ranks / (rows.shape[1] - 1))
        numbers = twin.numbers(stream, 0, d.size).numpy().reshape(rows.shape)
        mask = (numbers < np.floor(probability * 2.0**32)).reshape(d.shape)
        yield np.where(mask, d * (np.abs(d).sum() / np.abs(d)[mask].sum() if p["rescale"] == "l1" else 1.0), 0.0)


def fused(case, ds, p):
    """SCE; which entries vary most is seen in float32; NaN where that may elect another side."""
    if p["select_topk"] < 1:
        seen = [d.astype(np.float32) for d in ds]
        count = np.float32(len(ds))
        mean = (seen[0] + seen[1] + seen[2]) / count
        first, second, third = ((one - mean) * (one - mean) for one in seen)
        variance = ((first + second + third) / count).reshape(-1)
        varies = np.any(np.asarray(seen) != seen[0], axis=0).reshape(-1)
        variance, selected = np.where(varies, variance, 0), np.zeros(variance.size, bool)
        selected[np.argsort(-variance, kind="stable")[: int(np.count_nonzero(varies) * p["select_topk"])]] = True
        ds = [np.where(selected.reshape(d.shape), d, 0.0) for d in ds]
    weights = np.array([np.mean(d * d) for d in ds])
    weights /= weights.sum()
    votes, all_votes = sum(ds), sum(map(np.abs, ds))
    agree = [np.where(votes >= 0, d > 0, d < 0) for d in ds]
    divisor = sum(w * mine for w, mine in zip(weights, agree, strict=True))
    merged = sum(w * mine * d for w, mine, d in zip(weights, agree, ds, strict=True)) / np.where(divisor == 0, 1, divisor)
    return np.where(np.abs(votes) < UNDECIDED * all_votes, np.nan, merged)


def agents(case, ds, p):
    """RAM: what is unique times its factor, what is shared averaged; changes are seen in float32."""
    changed = [np.abs(d.astype(np.float32)) > np.float32(p["epsilon"]) for d in ds]
    count = sum(one.astype(int) for one in changed)
    rho = [(mine & (count > 1)).sum() / max((mine & (count == 1)).sum(), p["epsilon"]) for mine in changed]
    factors = [1 + p["r"] * min(one, p["alpha"]) if "r" in p else 1.0 for one in rho]
    alone = sum(np.where(mine, d * factor, 0.0) for mine, d, factor in zip(changed, ds, factors, strict=True))
    return np.where(count > 1, sum(np.where(mine, d, 0.0) for mine, d in zip(changed, ds, strict=True)) / np.maximum(count, 1), alone)


def localized(case, ds, p):
    """Consensus task arithmetic; NaN where float32 may count another number of tasks."""
    weighted = [w * d for w, d in zip(p["weight"], ds, strict=True)]
    together = sum(weighted)
    margins = [np.abs(one) - share * np.abs(together - one) for one, share in zip(weighted, p["tall_mask_lambda"], strict=True)]
    unclear = sum(np.abs(one) < 1e-5 for one in margins) > 0
    kept = sum(one >= 0 for one in margins) >= p["consensus_threshold"]
    return np.where(unclear, np.nan, np.where(kept, p["scale"] * together, 0.0))


REFERENCES: dict[str, Reference] = {
    "breadcrumbs": lambda case, ds, p: summed(case, list(crumbs(case, ds, p)), p),
    "consensus_ta": localized,
    "ram": agents,
    "ramplus": agents,
    "ramplus_tl": agents,
    "sce": fused,
    "breadcrumbs_ties": lambda case, ds, p: agreed(case, list(crumbs(case, ds, p)), p),
    "dare_linear": lambda case, ds, p: summed(case, list(dropped(case, ds, p)), p),
    "dare_ties": lambda case, ds, p: agreed(case, list(dropped(case, ds, p)), p),
    "della": lambda case, ds, p: agreed(case, list(sampled(case, ds, p)), p),
    "della_linear": lambda case, ds, p: summed(case, list(sampled(case, ds, p)), p),
    "ema": moving,
    "extrapolate": lambda case, ds, p: (1 + p["alpha"]) * ds[0],
    "geometric_median": weiszfeld,
    "karcher": frechet,
    "linear": average,
    "model_stock": stocked,
    "multislerp": spherical,
    "nearswap": nearing,
    "nuslerp": arc_by_share,
    "passthrough": scaled,
    "slerp": arc,
    "task_arithmetic": summed,
    "ties": trimmed,
}
"""By method."""

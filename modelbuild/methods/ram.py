"""RAM: keep what one model alone changed, average what several did; RAM+ makes the former larger for models that share much.

Use it for agents trained by reinforcement, whose changes are sparse: averaging those that only one made would dilute them.

Source: "Behavior Knowledge Merge in Reinforced Agentic Models", 2026, https://arxiv.org/abs/2601.13572, section 4.  `ramplus` counts
over the whole model, as the paper does; `ramplus_tl` in each tensor, as mergekit does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.whole import single
from modelbuild.method import Param, Survey, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from modelbuild.kernels import Stream

EPSILON = Param("epsilon", float, default=1e-5, low=0.0)
PLUS = (Param("r", float, default=0.1, low=0.0), Param("alpha", float, default=0.2, low=0.0), EPSILON)


@method(space="delta", params=(EPSILON,), revision=1)
def ram(deltas: Sequence[Tensor], *, epsilon: float) -> Tensor:
    """Sum what one model alone changed, and average what several did.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S).
        epsilon: an entry counts as changed where |d_i| > epsilon.

    Returns:
        The merged task vector, shape (*S).

    """
    return _merged(deltas, epsilon, [1.0] * len(deltas))


@method(space="delta", params=PLUS, revision=1)
def ramplus_tl(deltas: Sequence[Tensor], *, r: float, alpha: float, epsilon: float) -> Tensor:
    """As `ram`, but what model i alone changed times 1 + r min(rho_i, alpha), with counts of each tensor.

    rho_i is how many entries model i changed together with others, over how many it changed alone.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S).
        r: how much larger what is unique becomes with rho.
        alpha: where that ends.
        epsilon: an entry counts as changed where |d_i| > epsilon; a model that changed none alone counts as if so few.

    Returns:
        The merged task vector, shape (*S).

    """
    return _merged(deltas, epsilon, _factors(_counts(deltas, epsilon), r, alpha, epsilon))


@method(space="delta", params=PLUS, revision=1)
def ramplus(deltas: Sequence[Tensor], *, r: float, alpha: float, epsilon: float, survey: Sequence[float] = ()) -> Tensor:
    """As `ram`, but what model i alone changed times 1 + r min(rho_i, alpha), with counts of the whole model.

    rho_i is how many entries model i changed together with others, over how many it changed alone.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S).
        r: how much larger what is unique becomes with rho.
        alpha: where that ends.
        epsilon: an entry counts as changed where |d_i| > epsilon; a model that changed none alone counts as if so few.
        survey: rho_i of the whole model; none means that these tensors are all.

    Returns:
        The merged task vector, shape (*S).

    """
    rho = survey or _rho(_counts(deltas, epsilon), epsilon)
    return _merged(deltas, epsilon, [1.0 + r * min(one, alpha) for one in rho])


def _merged(deltas: Sequence[Tensor], epsilon: float, factors: Sequence[float]) -> Tensor:
    from torch import float32, tensor, where, zeros_like

    changed = [delta.abs() > single(epsilon, delta) for delta in deltas]
    count = sum((one.to(float32) for one in changed[1:]), changed[0].to(float32))
    alone, together = zeros_like(deltas[0]), zeros_like(deltas[0])
    for delta, mine, factor in zip(deltas, changed, factors, strict=True):
        alone = where(mine, alone + delta * tensor(factor, dtype=float32, device=delta.device), alone)
        together = where(mine, together + delta, together)
    return where(count > 1, together / where(count == 0, 1.0, count), alone)


def _counts(deltas: Sequence[Tensor], epsilon: float) -> list[tuple[int, int]]:
    """Return of each model how many entries it changed together with others, and alone."""
    changed = [delta.abs() > single(epsilon, delta) for delta in deltas]
    count = sum((one.int() for one in changed[1:]), changed[0].int())
    return [(int((mine & (count > 1)).sum()), int((mine & (count == 1)).sum())) for mine in changed]


def _rho(counts: Sequence[tuple[int, int]], epsilon: float) -> list[float]:
    return [shared / max(alone, epsilon) if shared else 0.0 for shared, alone in counts]


def _factors(counts: Sequence[tuple[int, int]], r: float, alpha: float, epsilon: float) -> list[float]:
    return [1.0 + r * min(one, alpha) for one in _rho(counts, epsilon)]


def _of_the_model(streams: Sequence[Stream], *, epsilon: float) -> list[float]:
    """Count over all tensors, chunk by chunk."""
    from torch import as_tensor

    counts: list[tuple[int, int]] = []
    for stream in streams:
        for _, deltas in stream.chunks():
            found = _counts([as_tensor(stream.kernels.floats(delta)) for delta in deltas], epsilon)
            counts = [(a + c, b + d) for (a, b), (c, d) in zip(counts or [(0, 0)] * len(found), found, strict=True)]
    return _rho(counts, epsilon)


ramplus = ramplus.surveyed(Survey("shared and unique entries of the model", _of_the_model, ("epsilon",), lambda params: True, 1))

"""EMA: the exponential moving average over checkpoints of one training run.

Source: Morales-Brotons, Vogels and Hendrikx, "Exponential Moving Average of Weights in Deep Learning: Dynamics and Benefits",
2024, https://arxiv.org/abs/2411.18704, section 2, taken over saved checkpoints rather than over steps.  `debias` is the
correction of Kingma and Ba, "Adam", 2014, https://arxiv.org/abs/1412.6980, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.kernels import total
from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place


def coefficients(count: int, decay: float, debias: bool) -> list[float]:
    """Return the factor of each checkpoint, the oldest first; they sum to 1."""
    weights = [1.0 if debias or not i else 1.0 - decay for i in range(count)]
    powers = [weight * decay ** (count - 1 - i) for i, weight in enumerate(weights)]
    summed = total(powers) if debias else 1.0
    return [power / summed for power in powers]


def _alone(params: Params, count: int) -> int | None:
    found = coefficients(count, params["decay"], params["debias"])
    return found.index(1.0) if sorted(found) == [0.0] * (count - 1) + [1.0] else None


@method(
    params=(Param("decay", float, low=0.0, high=1.0), Param("debias", bool, default=False)),
    alias=_alone,
    revision=1,
)
def ema(tensors: Sequence[Tensor], *, decay: float, debias: bool) -> Tensor:
    """Average checkpoints, the more recent counting more: e_0 = x_0, e_k = decay e_(k-1) + (1 - decay) x_k.

    Args:
        tensors: n checkpoints x_k, float32, each of shape (*S), the oldest first.
        decay: how much of the average stays at each step, in [0, 1].
        debias: start from nothing instead of x_0, and divide by 1 - decay^n: the weight of x_k is then as decay^(n-1-k).  With
            a decay of 1 all count alike.

    Returns:
        The average, shape (*S).

    """
    factors = coefficients(len(tensors), decay, debias)
    average = tensors[0] * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        average = average + tensor * factor
    return average


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Any, offset: int, *, decay: float, debias: bool) -> None:
    kernels.weighted_sum(inputs, coefficients(len(inputs), decay, debias), 1.0, 1.0, out)


ema = ema.streamed(apply=_apply, carries=always)

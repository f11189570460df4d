"""Linear: a weighted average.

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", 2022, https://arxiv.org/abs/2203.05482.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.kernels import total
from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place


def _itself(params: Params, count: int) -> int | None:
    return 0 if count == 1 and params["weight"] == (1.0,) else None


def _zero_sum(params: Params, count: int) -> str:
    weight = params["weight"]
    if not params["normalize"] or abs(total(weight)) >= 1e-8:
        return ""
    return f"the weights {', '.join(f'{share:g}' for share in weight)} sum to {total(weight):g}, and `normalize` divides by their sum"


@method(
    params=(
        Param("weight", float, per="input", default=1.0),
        Param("normalize", bool, default=True),
    ),
    alias=_itself,
    check=_zero_sum,
    revision=1,
)
def linear(tensors: Sequence[Tensor], *, weight: Sequence[float], normalize: bool) -> Tensor:
    """Average models: sum of w_i x_i, divided by the sum of w_i where `normalize` is true.

    Args:
        tensors: n tensors, float32, each of shape (*S).
        weight: how much each counts; n numbers.
        normalize: divide by the sum of the weights.

    Returns:
        The average, shape (*S).

    """
    average = tensors[0] * weight[0]
    for tensor, share in zip(tensors[1:], weight[1:], strict=True):
        average = average + tensor * share
    return average / total(weight) if normalize else average


def _apply(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Any, offset: int, *, weight: Sequence[float], normalize: bool
) -> None:
    kernels.weighted_sum(inputs, weight, total(weight) if normalize else 1.0, 1.0, out)


linear = linear.streamed(apply=_apply, carries=always)

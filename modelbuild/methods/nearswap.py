"""NearSwap: take over another model where it is near.

Source: the merge of alchemonaut's QuartetAnemoi-70B-t0.0001, 2024, https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001,
as mergekit has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place


def _base(params: Params, count: int) -> int | None:
    return 0 if params["t"] == 0.0 else None


@method(base="first", inputs=(2, 2), params=(Param("t", float, low=0.0),), alias=_base, revision=1)
def nearswap(tensors: Sequence[Tensor], *, t: float) -> Tensor:
    """Interpolate each entry by how near the other model is: w x1 + (1 - w) x0, where w = t / max(|x0 - x1|, 1e-6), at most 1.

    Args:
        tensors: the base x0 and the other x1, float32, each of shape (*S).
        t: the distance up to which the other's entry is taken as it is; farther ones are approached by about `t`.

    Returns:
        The merged tensor, shape (*S).

    """
    from modelbuild.kernels import load

    out = tensors[0].new_empty(tensors[0].shape).reshape(-1)
    base, other = (tensor.reshape(-1) for tensor in tensors)
    load(f"torch:{out.device}").near(base, other, t, out)
    return out.reshape(tensors[0].shape)


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Any, offset: int, *, t: float) -> None:
    base, other = inputs
    kernels.near(base, other, t, out)


nearswap = nearswap.streamed(apply=_apply, carries=always)

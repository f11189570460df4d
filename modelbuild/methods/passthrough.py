"""Passthrough: take a tensor as it is, or scaled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place


def _itself(params: Params, count: int) -> int | None:
    return 0 if params["scale"] == (1.0,) else None


@method(inputs=(1, 1), params=(Param("scale", float, per="input", default=1.0),), alias=_itself, revision=1)
def passthrough(tensors: Sequence[Tensor], *, scale: Sequence[float]) -> Tensor:
    """Hand a tensor on: x, or x scale.

    Args:
        tensors: one tensor, float32, of shape (*S).
        scale: what it is multiplied by; with 1 its very bytes are handed on.

    Returns:
        The tensor, shape (*S).

    """
    return tensors[0] * scale[0]


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Any, offset: int, *, scale: Sequence[float]) -> None:
    kernels.weighted_sum(inputs, scale, 1.0, 1.0, out)


passthrough = passthrough.streamed(apply=_apply, carries=always)

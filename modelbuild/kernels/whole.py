"""What methods of the short form share: their tensors are whole, and torch's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def single(number: float, like: Tensor) -> Tensor:
    """Put a number, rounded to float32, where a tensor is."""
    from torch import float32, tensor

    return tensor(number, dtype=float32, device=like.device)

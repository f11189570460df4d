"""The random masks of one tensor's inputs, drawn chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelbuild.kernels import Array, Kernels

KEPT_MOST = 32 << 20
"""Bytes of masks that are kept from one pass to the next; what is beyond is drawn again, which gives the same."""


class Masks:
    """Masks of several inputs; see `Kernels.mask` for what they are a function of.

    Args:
        kernels: draw them.
        streams: one key per input.
        probabilities: with which each keeps an element.

    """

    def __init__(self, kernels: Kernels, streams: Sequence[int], probabilities: Sequence[float]) -> None:
        """Draw nothing yet."""
        self._kernels, self._streams, self._probabilities = kernels, streams, probabilities
        self._kept: dict[tuple[int, int], Array] = {}
        self._room = KEPT_MOST

    def draw(self, i: int, offset: int, count: int) -> Array:
        """Return the mask of a chunk of input `i`, and keep it for `again`."""
        mask = self._kernels.mask(self._streams[i], self._probabilities[i], offset, count)
        if self._room > 0:
            self._kept[i, offset] = packed = self._kernels.packed(mask)
            self._room -= packed.nbytes
        return mask

    def again(self, i: int, offset: int, count: int) -> Array:
        """Return a mask in the last pass: as it was kept, else drawn."""
        packed = self._kept.pop((i, offset), None)
        if packed is None:
            return self._kernels.mask(self._streams[i], self._probabilities[i], offset, count)
        return self._kernels.unpacked(packed, count)

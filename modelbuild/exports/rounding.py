"""Weights in 8 bits and in 4: which tensors a weight becomes, and their bytes, some rows at a time.

e4m3: Micikevicius et al., "FP8 Formats for Deep Learning", 2022, https://arxiv.org/abs/2209.05433.  The tensors and their names are
compressed-tensors', https://github.com/vllm-project/compressed-tensors: `float-quantized` and `pack-quantized`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from modelbuild.exports.linear import module_of
from modelbuild.exports.subject import Standing, Unexportable, widened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Stored = tuple[str, str, tuple[int, ...]]
"""A tensor of the result: name, type, shape."""

Piece = tuple[str, int, bytes]
"""Bytes of a tensor of the result: its name, where in it they start, and they themselves."""

LARGEST = 448.0
"""The largest number of e4m3."""

GROUPS = (128, 64, 32)
"""How many neighbours may share a scale of 4-bit integers; other programs know these."""


class Rounding(Protocol):
    """A way to store linear weights."""

    @property
    def told(self) -> dict[str, Any]:
        """What config.json says of it."""

    def stored(self, name: str, shape: tuple[int, int]) -> tuple[Stored, ...]:
        """Return what a weight becomes."""

    def pieces(self, standing: Standing, name: str) -> Iterator[Piece]:
        """Yield the bytes of what a weight becomes."""


class Floats(Struct, frozen=True):
    """e4m3 with a scale for each row, or for each tensor: the largest number becomes the largest there is."""

    per_row: bool

    @property
    def told(self) -> dict[str, Any]:
        """What config.json says of it; activations are rounded by token, as the model runs."""
        number = {"num_bits": 8, "type": "float", "symmetric": True}
        weights = {**number, "strategy": "channel" if self.per_row else "tensor", "dynamic": False}
        return _told("float-quantized", weights, {**number, "strategy": "token", "dynamic": True})

    def stored(self, name: str, shape: tuple[int, int]) -> tuple[Stored, ...]:
        """Return the weight and its scales."""
        return (name, "F8_E4M3", shape), (f"{name}_scale", "F32", (shape[0], 1) if self.per_row else (1,))

    def pieces(self, standing: Standing, name: str) -> Iterator[Piece]:
        """Yield the bytes of both: a number is its byte times its scale."""
        import numpy as np
        import torch

        info = standing.infos[name]
        whole = np.ones((1, 1), np.float32)
        if not self.per_row:
            parts = (np.abs(widened(raw, info.dtype)).max(initial=0) for _, raw in standing.raw(name))
            whole = _scaled(np.array([[max(parts)]], np.float32), LARGEST)
            yield f"{name}_scale", 0, whole.tobytes()
        for first, rows in _finite_rows(standing, name):
            scales = _scaled(np.abs(rows).max(axis=1, keepdims=True), LARGEST) if self.per_row else whole
            numbers = torch.from_numpy(np.clip(rows / scales, -LARGEST, LARGEST)).to(torch.float8_e4m3fn)
            yield name, first * info.shape[1], numbers.view(torch.uint8).numpy().tobytes()
            if self.per_row:
                yield f"{name}_scale", first * 4, scales.tobytes()


class Integers(Struct, frozen=True):
    """Integers from -8 to 7, eight to a word of 32 bits, with a scale for each `group` of neighbours in a row."""

    group: int

    @classmethod
    def fitting(cls, widths: Sequence[int]) -> Integers:
        """Return the widest groups that rows of these widths have."""
        group = next((group for group in GROUPS if all(width % group == 0 for width in widths)), 0)
        if not group:
            odd = next(width for width in widths if width % GROUPS[-1])
            facts = (f"a linear weight has rows of {odd} numbers", f"{GROUPS[-1]} of them share a scale at least")
            raise Unexportable("the model has rows that cannot be cut into groups", *facts, hint='write `format = "fp8"`')
        return cls(group)

    @property
    def told(self) -> dict[str, Any]:
        """What config.json says of it; activations stay as they are."""
        weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": self.group, "dynamic": False}
        return _told("pack-quantized", weights, None)

    def stored(self, name: str, shape: tuple[int, int]) -> tuple[Stored, ...]:
        """Return the packed weight, its scales, and its shape."""
        rows, width = shape
        at = module_of(name)
        packed, scales = (rows, width // 8), (rows, width // self.group)
        return (f"{at}.weight_packed", "I32", packed), (f"{at}.weight_scale", "F32", scales), (f"{at}.weight_shape", "I64", (2,))

    def pieces(self, standing: Standing, name: str) -> Iterator[Piece]:
        """Yield the bytes of these: a number is its integer times its scale."""
        import numpy as np

        (packed, _, _), (scale, _, _), (shape, _, _) = self.stored(name, (1, 8))
        width = standing.infos[name].shape[1]
        yield shape, 0, np.array(standing.infos[name].shape, "<i8").tobytes()
        places = np.arange(8, dtype=np.uint32) * 4
        for first, rows in _finite_rows(standing, name):
            groups = rows.reshape(-1, self.group)
            scales = _scaled(np.abs(groups).max(axis=1, keepdims=True), 7.5)
            numbers = np.clip(np.rint(groups / scales), -8, 7).astype(np.int32) + 8
            words = (numbers.astype(np.uint32).reshape(-1, 8) << places).sum(axis=1, dtype=np.uint32)  # no two share a bit
            yield packed, first * width // 2, words.tobytes()
            yield scale, first * (width // self.group) * 4, scales.tobytes()


def _told(form: str, weights: dict[str, Any], activations: dict[str, Any] | None) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
    }


def _scaled(largest: NDArray[np.float32], most: float) -> NDArray[np.float32]:
    """Return the scale by which the largest number of a group becomes `most`; that of nothing but zeros is 1."""
    import numpy as np

    return np.where(largest > 0, largest / np.float32(most), np.float32(1)).astype(np.float32)


def _finite_rows(standing: Standing, name: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
    import numpy as np

    for first, rows in standing.rows(name, standing.infos[name].shape[1]):
        if not np.isfinite(rows).all():
            raise Unexportable(f"`{name}` holds what is no number", hint='build the merge without `nonfinite = "allow"`', key="of")
        yield first, rows

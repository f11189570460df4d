"""NaN and infinity where a node allows them: what is said of them, and one pattern for every NaN.

Processors differ in the sign and payload of the NaN that they make, and so may two loops on one processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modelbuild.plan import Action

_PATTERNS = {
    "BF16": ("<u2", 0x7FFF, 0x7F80, 0x7FC0),
    "F16": ("<u2", 0x7FFF, 0x7C00, 0x7E00),
    "F32": ("<u4", 0x7FFFFFFF, 0x7F800000, 0x7FC00000),
    "F64": ("<u8", 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000, 0x7FF8000000000000),
}
"""Of each type: its bits as integers, all but the sign, infinity, and the quiet NaN."""


def quieten(data: memoryview, dtype: str) -> None:
    """Replace every NaN by the positive quiet one without payload (IEEE 754-2019, 6.2.1), in place."""
    kind, magnitude, infinity, quiet = _PATTERNS[dtype]
    bits = np.frombuffer(data, kind)
    bits[(bits & bits.dtype.type(magnitude)) > bits.dtype.type(infinity)] = quiet


def in_needs(action: Action, counts: Sequence[Any]) -> Iterator[str]:
    """Yield how many elements of each thing read are NaN or infinity, where some are."""
    for need, count in zip(action.needs, counts, strict=True):
        if count:
            yield f"{int(count)} of {action.numel} elements of `{need.label}` are"

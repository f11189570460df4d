"""How a test of kernels says which storage type some bytes are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Raw(NamedTuple):
    """Bytes that kernels are to see as a storage type."""

    data: np.ndarray
    dtype: str

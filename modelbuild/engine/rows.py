"""The step that takes rows of several tensors: an embedding in the order of another vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelbuild.kernels.rows import MEAN, Rows

if TYPE_CHECKING:
    from modelbuild.engine.steps import Held


def take_rows(rows: Rows, inputs: Sequence[Held], chunk: int) -> Iterator[NDArray[np.float32]]:
    """Yield rows of the result in order; those of one tensor that follow each other are read at once."""
    width = inputs[0].width
    step = max(1, chunk // max(1, width))
    mean = np.cumsum(rows.source == MEAN) - 1
    for first in range(0, len(rows.source), step):
        source, row = rows.source[first : first + step], rows.row[first : first + step]
        found = np.zeros((len(source), width), np.float32)
        breaks = np.flatnonzero((np.diff(source) != 0) | (np.diff(row) != 1)) + 1
        for start, stop in zip([0, *breaks.tolist()], [*breaks.tolist(), len(source)], strict=True):
            if source[start] >= 0:
                found[start:stop] = inputs[source[start]].rows(int(row[start]), stop - start)
        for at in np.flatnonzero(source == MEAN).tolist():
            held = [(tensor, int(i)) for tensor, i in zip(inputs, rows.means[:, mean[first + at]], strict=True) if i >= 0]
            if held:
                found[at] = sum((tensor.rows(i, 1)[0].astype(np.float64) for tensor, i in held), np.zeros(width)) / len(held)
        yield found

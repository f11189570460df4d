"""A GGUF file written: some rows at a time are read, brought into their type, and put where they belong."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from modelbuild import files
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.exports.gguf.layout import FACTORS, Entry, Layout, lay_out
from modelbuild.exports.gguf.metadata import frequency_factors
from modelbuild.exports.subject import Foreseen, Standing, Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelbuild.modelfile.model import Export

    Rows = NDArray[np.float32]

_WHOLE = (GGMLQuantizationType.F32, GGMLQuantizationType.BF16)
"""Types that have room for whatever float32 holds."""

_WIDE = 8192
"""Numbers of a row that `quantize` is given: blocks follow each other, whatever the rows, and it is slow with short ones."""


def foresee(subject: Subject, export: Export) -> Foreseen:
    """Refuse what cannot be written, before any work; return what can be told of the rest."""
    layout = lay_out(subject, export, "0" * 64)
    return Foreseen(layout.size, layout.warnings)


def write(standing: Standing, export: Export, root: str, path: Path, jobs: int) -> None:
    """Write a model as a GGUF file, synced.

    Args:
        standing: the model.
        export: how.
        root: of its tensors.
        path: where nothing stands yet.
        jobs: threads.

    """
    layout = lay_out(standing.subject, export, root)
    fd = files.open_new(path)
    try:
        files.allocate(fd, path, layout.size)
        files.write_at(fd, path, layout.header, 0)
        with ThreadPoolExecutor(jobs) as crew:
            waiting: deque[Future[None]] = deque()
            for entry, start, rows in _pieces(standing, layout):
                waiting.append(crew.submit(_convert, fd, path, entry, start, rows))
                while len(waiting) > jobs:
                    waiting.popleft().result()
            for one in waiting:
                one.result()
        files.sync(fd, path)
    finally:
        os.close(fd)


def _pieces(standing: Standing, layout: Layout) -> Iterator[tuple[Entry, int, Rows]]:
    """Yield rows of each tensor, and where in the file they go."""
    for entry, offset in zip(layout.entries, layout.offsets, strict=True):
        if entry.name == FACTORS:
            factors = frequency_factors(standing.subject.config)
            assert factors is not None
            yield entry, offset, factors.reshape(1, -1)
        width = 1 if entry.head and len(entry.shape) == 1 else entry.shape[-1]
        each = prod(entry.shape) // max(1, len(entry.parts)) // width  # rows of a part
        row_bytes = entry.row_bytes if width == entry.shape[-1] else entry.row_bytes // entry.shape[-1]
        for i, part in enumerate(entry.parts):
            for first, rows in standing.rows(part, width, entry.head or 1):
                yield entry, offset + (i * each + first) * row_bytes, rows


def _convert(fd: int, path: Path, entry: Entry, start: int, rows: Rows) -> None:
    if entry.head:
        # (heads, 2 halves, pairs, columns) -> (heads, pairs, 2, columns)
        rows = rows.reshape(-1, 2, entry.head // 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        made = np.ascontiguousarray(quantize(rows.reshape(-1, _WIDE) if rows.size % _WIDE == 0 else rows, entry.type))
    lost = 0 if entry.type in _WHOLE else int((~np.isfinite(made if made.dtype == np.float16 else rows)).sum())
    if lost:
        kind = entry.type.name.lower()
        facts = (f"{lost} of its numbers are too large for {kind}, or no numbers",)
        raise ModelbuildError(
            Problem(f"`{entry.parts[0]}` cannot be stored as {kind}", facts=facts, hint='write `type = "bf16"`'), Exit.ACTION_FAILED
        )
    files.write_at(fd, path, made.data.cast("B"), start)

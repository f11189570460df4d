"""One thing that an action reads: seen where it lies or copied, and hashed as it passes for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from modelbuild.checkpoint.dtypes import ARITHMETIC, SIZES
from modelbuild.digest import tensor_hasher
from modelbuild.engine.nonfinite import quieten
from modelbuild.engine.windows import Part
from modelbuild.engine.workspace import Job, Workspace
from modelbuild.kernels.calling import address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelbuild.kernels import Array, Operand

Run = tuple[int, int]
"""(index of the first, number) of elements that follow each other"""


class _Sight(NamedTuple):
    """All of a tensor where it lies: as bytes, and as kernels see it, for as long as the window shows the same."""

    raw: NDArray[np.uint8]
    stored: Array
    shown: Part


class Need:
    """A tensor that an action reads.

    Args:
        job: the action, and where the bytes are.
        i: which of its needs.
        workspace: what it is seen through, or read into.

    """

    def __init__(self, job: Job, i: int, workspace: Workspace) -> None:
        """Read nothing yet."""
        ref, self._known = job.action.needs[i], job.digests[i]
        self._dtype, self._width, self._numel = ref.dtype, SIZES[ref.dtype], job.action.numel
        self._i, self._region, self._workspace = i, job.regions[i], workspace
        self._window = workspace.window(i, self._width)
        self._in_place = workspace.in_place and not job.action.lenient
        self._quietens = job.action.lenient and ref.dtype in ARITHMETIC
        self._hasher = None if self._known else tensor_hasher(ref.dtype, ref.shape)
        self._hashed = 0
        """Bytes from the first on that have been hashed."""
        self._sight: _Sight | None = None
        self._in_view = self._in_place
        """Whether all of it may be seen at once."""
        self._mark = object()
        """What is its own in a buffer."""

    @property
    def digest(self) -> str:
        """The digest of what was read, once all of it has passed in order."""
        return self._hasher.hexdigest() if self._hasher else self._known

    def whole(self) -> Operand | None:
        """Return all of it where it lies; None where it is too much to see at once, or has to be read."""
        if not self._in_view:
            return None
        if self._sight is None or self._window.shown is not self._sight.shown:
            raw = self._lying(0, self._numel)
            self._in_view = raw is not None
            self._sight = None if raw is None else _Sight(raw, self._stored(raw), self._window.shown)
        return self._sight and self._sight.stored

    def elements(self, offset: int, count: int) -> Operand:
        """Return elements that follow each other, until the next are asked for."""
        stored = self.whole()
        if stored is not None:
            assert self._sight is not None
            if self._hasher:
                self._see(offset, self._sight.raw.data[offset * self._width : (offset + count) * self._width])
            return stored[offset : offset + count]
        raw = self._lying(offset, count) if self._in_place else None
        if raw is None:
            return self.copied([(offset, count)])
        self._see(offset, raw.data)
        return self._stored(raw)

    def copied(self, runs: Sequence[Run]) -> Operand:
        """Return runs of elements one after another, read into a buffer unless it holds them still."""
        staged, nbytes = self._workspace.staging(self._i, self._width), sum(count for _, count in runs) * self._width
        if staged.holds != (self._mark, *runs) or self._lacks(runs[-1]):
            staged.holds = None
            self._fill(staged.view[:nbytes], runs)
            staged.holds = (self._mark, *runs)
        return self._stored(self._workspace.device.upload(staged, nbytes))

    def _fill(self, buffer: memoryview, runs: Sequence[Run]) -> None:
        filled = 0
        for offset, count in runs:
            part = buffer[filled : filled + count * self._width]
            self._region.read_into(part, offset * self._width)
            self._see(offset, part)
            filled += len(part)
        if self._quietens:
            quieten(buffer, self._dtype)

    def _lacks(self, run: Run) -> bool:
        """Tell whether a run reaches beyond what was hashed."""
        return self._hasher is not None and self._hashed < sum(run) * self._width

    def _stored(self, raw: Array) -> Array:
        return self._workspace.device.kernels.stored(raw, self._dtype)

    def _lying(self, offset: int, count: int) -> NDArray[np.uint8] | None:
        """Return bytes where they lie; None where they have to be read."""
        lying = self._region.lying(self._window, offset * self._width, count * self._width)
        raw = None if lying is None else np.frombuffer(lying, np.uint8)
        return None if raw is None or address(raw) % self._width else raw

    def _see(self, offset: int, data: memoryview) -> None:
        """Hash bytes: of those that reach beyond what was hashed, without a gap, the part beyond."""
        start = offset * self._width
        if self._hasher and start <= self._hashed < start + len(data):
            self._hasher.update(data[self._hashed - start :])
            self._hashed = start + len(data)

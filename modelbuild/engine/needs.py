"""One thing that an action reads: seen where it lies or copied, looked through and hashed as it passes for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
    """All of a tensor where it lies, as kernels see it, for as long as the window shows the same."""

    stored: Array
    shown: Part


class Need:
    """A tensor that an action reads.

    Args:
        job: the action, and where the bytes are.
        i: which of its needs.
        workspace: what it is seen through, or read into.
        looks: whether NaN and infinity are counted.

    """

    def __init__(self, job: Job, i: int, workspace: Workspace, *, looks: bool) -> None:
        """Read nothing yet."""
        self.looks = looks
        self.nonfinite: Any = 0
        """How many elements are not finite, of those that were looked at."""
        self._looked = self._hashed = 0
        """Elements from the first on that were, each once."""
        ref, self._known = job.action.needs[i], job.digests[i]
        self._dtype, self._width, self._numel = ref.dtype, SIZES[ref.dtype], job.action.numel
        self._i, self._region, self._workspace = i, job.regions[i], workspace
        self._window = workspace.window(i, self._width)
        self._in_place = workspace.in_place and not job.action.lenient
        self._quietens = job.action.lenient and ref.dtype in ARITHMETIC
        self._hasher = None if self._known else tensor_hasher(ref.dtype, ref.shape)
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
            self._sight = None if raw is None else _Sight(self._stored(raw), self._window.shown)
        return self._sight and self._sight.stored

    def elements(self, offset: int, count: int) -> Operand:
        """Return elements that follow each other, until the next are asked for."""
        part = self._seen(offset, count)
        if part is None:
            part = self.copied([(offset, count)])
            self._look(offset, part)
        else:
            self._look(offset, part)
            if self._hasher:
                self._hash(offset, count, part.view(np.uint8).data)
        return part

    def ahead(self, offset: int, count: int) -> None:
        """Be told of elements that are wanted soon, as far as there are so many."""
        self._region.ahead(offset * self._width, count * self._width)

    def _seen(self, offset: int, count: int) -> Array | None:
        """Return elements where they lie; None where they have to be read."""
        whole = self.whole()
        if whole is not None:
            return whole[offset : offset + count]
        raw = self._lying(offset, count) if self._in_place else None
        return None if raw is None else self._stored(raw)

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
            self._hash(offset, count, part)
            filled += len(part)
        if self._quietens:
            quieten(buffer, self._dtype)

    def _lacks(self, run: Run) -> bool:
        """Tell whether a run reaches beyond what was hashed."""
        return self._hasher is not None and self._hashed < sum(run)

    def _stored(self, raw: Array) -> Array:
        return self._workspace.device.kernels.stored(raw, self._dtype)

    def _lying(self, offset: int, count: int) -> NDArray[np.uint8] | None:
        """Return bytes where they lie; None where they have to be read."""
        lying = self._region.lying(self._window, offset * self._width, count * self._width)
        raw = None if lying is None else np.frombuffer(lying, np.uint8)
        return None if raw is None or address(raw) % self._width else raw

    def _look(self, offset: int, stored: Array) -> None:
        """Count what is not finite: of elements that reach beyond what was looked at, without a gap, the part beyond.

        That comes before they are hashed: it brings them into the caches in order, at the pace of memory.
        """
        if self.looks and offset <= self._looked < offset + len(stored):
            (found,) = self._workspace.device.kernels.not_finite(stored[self._looked - offset :])
            self.nonfinite += found
            self._looked = offset + len(stored)

    def _hash(self, offset: int, count: int, data: memoryview) -> None:
        """Hash the bytes of such elements."""
        if self._hasher and offset <= self._hashed < offset + count:
            self._hasher.update(data[(self._hashed - offset) * self._width :])
            self._hashed = offset + count

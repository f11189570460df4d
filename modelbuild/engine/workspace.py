"""What a worker is given to compute, and the buffers and windows that it does it with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from modelbuild.engine.devices import Device, Staged
from modelbuild.engine.regions import Region
from modelbuild.engine.windows import Window
from modelbuild.kernels import BLOCK
from modelbuild.plan import Action

Write = Callable[[int, memoryview], None]
"""write(offset in bytes from the tensor's start, bytes)"""

SHOWN = 8
"""Chunks of a tensor that a window lays out at most."""


class Interrupted(Exception):
    """The build was told to stop between two chunks."""


class Job(Struct, frozen=True):
    """An action with everything it needs at hand.

    Args:
        action: what to compute.
        regions: the bytes of `action.needs`, in order.
        digests: theirs, each "" where it is to be learned on the way.
        streams: the keys of the random masks, one per input; empty where the method draws none.
        write: takes the result.
        check: called between chunks; raises to stop.

    """

    action: Action
    regions: tuple[Region, ...]
    digests: tuple[str, ...]
    streams: tuple[int, ...]
    write: Write
    check: Callable[[], None]


class Workspace:
    """The buffers of one worker, made once and used for every tensor.

    Args:
        device: where kernels work.
        chunk: elements per chunk, a multiple of the kernels' BLOCK.

    """

    def __init__(self, device: Device, chunk: int) -> None:
        """Allocate nothing yet."""
        self.device, self.chunk = device, chunk
        self.line = device.line()
        self.in_place = device.in_place
        """Whether files are looked at where they lie."""
        self._staged: dict[tuple[int, int], deque[Staged]] = {}
        self._windows: dict[tuple[int, int], Window] = {}

    def staging(self, i: int, width: int) -> Staged:
        """Return a host buffer for a chunk of the i-th tensor, of elements of `width` bytes: the one used longest ago."""
        ring = self._staged.setdefault((i, width), deque())
        if len(ring) < self.device.depth:
            ring.append(self.device.staging(self.chunk * width))
        else:
            self.device.wait(ring[0])
            ring.rotate(-1)
        return ring[-1]

    def window(self, i: int, width: int) -> Window:
        """Return what a chunk of the i-th tensor is seen through, of elements of `width` bytes."""
        if (i, width) not in self._windows:
            self._windows[i, width] = Window(SHOWN * self.chunk * width)
        return self._windows[i, width]

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Read for a while, whatever could be looked at, and forget what was seen."""
        self._windows.clear()
        self.in_place = False
        try:
            yield
        finally:
            self.in_place = self.device.in_place

    def shrink(self) -> bool:
        """Go on with chunks of half the size, and tell whether they can be any smaller."""
        if self.chunk == BLOCK:
            return False
        self.chunk = max(BLOCK, self.chunk // 2 // BLOCK * BLOCK)
        self._staged.clear()
        self.device.tidy()
        return True

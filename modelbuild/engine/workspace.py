"""What a worker is given to compute, and the buffers and windows that it does it with."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.engine.choosing import Devices, open_device
from modelbuild.engine.devices import Device, Staged
from modelbuild.engine.regions import Region, Write
from modelbuild.engine.windows import Window
from modelbuild.kernels import BLOCK, Array
from modelbuild.plan import Action

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
        self._marks: dict[int, Array] = {}

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

    def marks(self, i: int, count: int) -> Array:
        """Return room for a mask of the i-th input, which grows with the largest that there was."""
        if i not in self._marks or len(self._marks[i]) < count:
            self._marks[i] = self.device.kernels.marks(count)
        return self._marks[i][:count]

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
        self._marks.clear()
        self.device.tidy()
        return True


class Workspaces:
    """Those of all workers: each has one on every device that it works with.

    Args:
        devices: what computes; opened when something is to be computed.
        chunk: elements per chunk.

    """

    def __init__(self, devices: Devices, chunk: int) -> None:
        """Open nothing yet."""
        self._devices, self._chunk = devices, chunk
        self._opened: dict[str, Device] = {}
        self._opening = threading.Lock()
        self._local = threading.local()

    def of(self, action: Action) -> Workspace:
        """Return this worker's workspace on what computes an action."""
        name, own = self._devices.of(action), vars(self._local)
        if name not in own:
            with self._opening:
                own[name] = Workspace(self._open(name), self._chunk)
        workspace: Workspace = own[name]
        return workspace

    def windows(self, action: Action) -> tuple[Window | None, ...]:
        """Return what this worker will see the needs of an action through, as far as it is at work already."""
        workspace: Workspace | None = vars(self._local).get(self._devices.of(action))
        if workspace is None or not workspace.in_place:
            return (None,) * len(action.needs)
        return tuple(workspace.window(i, SIZES[need.dtype]) for i, need in enumerate(action.needs))

    def are_ready(self, action: Action) -> bool:
        """Tell whether an action's kernels are at hand, and load them if nobody else is about to: who would wait can digest."""
        name = self._devices.of(action)
        if name not in self._opened and self._opening.acquire(blocking=False):
            try:
                self._open(name)
            finally:
                self._opening.release()
        return name in self._opened

    def _open(self, name: str) -> Device:
        if name not in self._opened:
            self._opened[name] = open_device(name)
        return self._opened[name]

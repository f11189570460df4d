"""What computes: numpy buffers and compiled kernels on the CPU, torch tensors on a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from msgspec import Struct

from modelbuild.aligned import aligned
from modelbuild.kernels import Array, Kernels, load

if TYPE_CHECKING:
    import torch


class Staged(Struct):
    """A buffer on the host: as the device takes it, and as files do."""

    raw: Any
    view: memoryview
    copied: Any = None
    """When the last copy from it or to it is over."""
    holds: object = None
    """What its first bytes are, in words of whoever filled it."""


class Device(Protocol):
    """Buffers of one device, and the kernels that work on them."""

    name: str
    kernels: Kernels
    in_place: bool
    """Whether kernels read bytes wherever the host has them."""
    depth: int
    """Chunks of one worker that are under way at once: while one is computed, the next is read."""
    largest_chunk: int
    """Elements."""
    most_jobs: int
    """Workers at a time, where nobody says how many."""
    exhausted: tuple[type[BaseException], ...]
    """What is raised when memory is full."""

    def line(self) -> AbstractContextManager[object]:
        """Return what a worker works inside of: its own order of transfers and kernels."""

    def staging(self, nbytes: int) -> Staged:
        """Allocate host bytes."""

    def upload(self, staged: Staged, nbytes: int) -> Array:
        """Begin to bring the first `nbytes` to where kernels work; the buffer is taken until `wait` returns."""

    def download(self, staged: Staged, nbytes: int) -> Array:
        """Return where kernels are to leave `nbytes`; `landing` brings them into the buffer."""

    def landing(self, staged: Staged, raw: Array) -> None:
        """Begin to bring what kernels leave in `raw` into the buffer; it is there when `wait` returns."""

    def wait(self, staged: Staged) -> None:
        """Wait for what was begun with a buffer."""

    def tidy(self) -> None:
        """Give back memory that nothing uses."""


class Cpu:
    """The CPU, with compiled kernels; imports no torch."""

    in_place = True
    depth = 1
    largest_chunk = 1 << 20
    """With smaller ones workers wait for each other's Python, and larger ones gain nothing.  See docs/performance.md."""
    most_jobs = 1 << 16
    exhausted: tuple[type[BaseException], ...] = (MemoryError,)

    def __init__(self) -> None:
        """Load the kernels."""
        import numpy

        self.name = "cpu"
        self.kernels = load("cpu")
        self._numpy = numpy

    def line(self) -> AbstractContextManager[object]:
        """Need none."""
        return nullcontext()

    def staging(self, nbytes: int) -> Staged:
        """Allocate bytes."""
        view = aligned(nbytes)
        return Staged(self._numpy.frombuffer(view, self._numpy.uint8), view)

    def upload(self, staged: Staged, nbytes: int) -> Array:
        """Use the bytes where they are."""
        return staged.raw[:nbytes]

    def download(self, staged: Staged, nbytes: int) -> Array:
        """Let kernels write where files read."""
        return staged.raw[:nbytes]

    def landing(self, staged: Staged, raw: Array) -> None:
        """Do nothing: they are there."""

    def wait(self, staged: Staged) -> None:
        """Wait for nothing."""

    def tidy(self) -> None:
        """Leave that to Python."""


class _Line(NamedTuple):
    """The streams of one worker: kernels, what is brought before them, and what is fetched after."""

    kernels: Any
    up: Any
    down: Any


class Torch:
    """A torch device, with the torch twins of the kernels.

    On CUDA each worker has three streams, so that transfers overlap with its own kernels and with those of others, and two
    pinned buffers for every tensor it reads or writes, so that files are read and written while the device works.
    """

    in_place = False
    depth = 2
    largest_chunk = 1 << 23
    """Kernels of fewer elements are over before the next one is named."""
    most_jobs = 4
    """More name operations no faster: they wait for the interpreter."""

    def __init__(self, name: str) -> None:
        """Load the kernels for a torch device such as "cuda:0"."""
        import torch

        self.name = name
        self.kernels = load(f"torch:{name}")
        self.exhausted: tuple[type[BaseException], ...] = (MemoryError, torch.OutOfMemoryError)
        self._torch, self._cuda = torch, cast("Any", torch.cuda)
        self._device = torch.device(name)
        self._is_cuda = self._device.type == "cuda"
        self._lines: dict[int, _Line] = {}  # torch has 32 streams, which many workers share: what is shared overlaps less

    def line(self) -> AbstractContextManager[object]:
        """Open streams."""
        if not self._is_cuda:
            return nullcontext()
        line = _Line(*(self._cuda.Stream(self._device) for _ in _Line._fields))
        self._lines[line.kernels.stream_id] = line
        context: AbstractContextManager[object] = self._cuda.stream(line.kernels)
        return context

    def staging(self, nbytes: int) -> Staged:
        """Allocate pinned bytes on the host."""
        raw = self._torch.empty(nbytes, dtype=self._torch.uint8, pin_memory=self._is_cuda)
        return Staged(raw, memoryview(raw.numpy().data))

    def upload(self, staged: Staged, nbytes: int) -> torch.Tensor:
        """Begin to copy to the device; kernels of this worker that come later see all of it."""
        uploaded: torch.Tensor
        if not self._is_cuda:
            uploaded = staged.raw[:nbytes].clone()
            return uploaded
        line = self._line()
        with self._cuda.stream(line.up):
            uploaded = staged.raw[:nbytes].to(self._device, non_blocking=True)
            staged.copied = line.up.record_event()
        line.kernels.wait_event(staged.copied)
        uploaded.record_stream(line.kernels)
        return uploaded

    def download(self, staged: Staged, nbytes: int) -> torch.Tensor:  # noqa: ARG002 - the CPU hands it back
        """Allocate bytes on the device."""
        return self._torch.empty(nbytes, dtype=self._torch.uint8, device=self._device)

    def landing(self, staged: Staged, raw: Any) -> None:
        """Begin to copy back what the kernels so far have left."""
        if not self._is_cuda:
            staged.raw[: raw.numel()].copy_(raw)
            return
        line = self._line()
        line.down.wait_stream(line.kernels)
        with self._cuda.stream(line.down):
            staged.raw[: raw.numel()].copy_(raw, non_blocking=True)
            staged.copied = line.down.record_event()
        raw.record_stream(line.down)

    def wait(self, staged: Staged) -> None:
        """Wait for the last copy to or from a buffer."""
        if staged.copied:
            staged.copied.synchronize()

    def tidy(self) -> None:
        """Empty torch's cache of device memory."""
        if self._is_cuda:
            self._cuda.empty_cache()

    def _line(self) -> _Line:
        return self._lines[self._cuda.current_stream(self._device).stream_id]

"""What computes: numpy buffers and compiled kernels on the CPU, torch tensors on a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from msgspec import Struct

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels import Array, Kernels, load
from modelbuild.plan import Action

if TYPE_CHECKING:
    import torch


class Staged(Struct):
    """A buffer on the host: as the device takes it, and as files do."""

    raw: Any
    view: memoryview
    copied: Any = None
    """When the last copy from it or to it is over."""


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
    """Larger ones leave the core's caches; with smaller ones workers wait for each other's Python.  See docs/performance.md."""
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
        raw = self._numpy.empty(nbytes, self._numpy.uint8)
        return Staged(raw, memoryview(raw.data))

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


class Torch:
    """A torch device, with the torch twins of the kernels.

    On CUDA each worker has a stream, so that transfers of one overlap with kernels of another, and two pinned buffers for
    every tensor it reads or writes, so that files are read and written while the device works.
    """

    in_place = False
    depth = 2
    largest_chunk = 1 << 21

    def __init__(self, name: str) -> None:
        """Load the kernels for a torch device such as "cuda:0"."""
        import torch

        self.name = name
        self.kernels = load(f"torch:{name}")
        self.exhausted: tuple[type[BaseException], ...] = (MemoryError, torch.OutOfMemoryError)
        self._torch, self._cuda = torch, cast("Any", torch.cuda)
        self._device = torch.device(name)
        self._is_cuda = self._device.type == "cuda"

    def line(self) -> AbstractContextManager[object]:
        """Open a stream."""
        if not self._is_cuda:
            return nullcontext()
        context: AbstractContextManager[object] = self._cuda.stream(self._cuda.Stream(self._device))
        return context

    def staging(self, nbytes: int) -> Staged:
        """Allocate pinned bytes on the host."""
        raw = self._torch.empty(nbytes, dtype=self._torch.uint8, pin_memory=self._is_cuda)
        return Staged(raw, memoryview(raw.numpy().data))

    def upload(self, staged: Staged, nbytes: int) -> torch.Tensor:
        """Begin to copy to the device; kernels of this worker that come later see all of it."""
        uploaded: torch.Tensor = staged.raw[:nbytes].to(self._device, non_blocking=True, copy=True)
        self._begun(staged)
        return uploaded

    def download(self, staged: Staged, nbytes: int) -> torch.Tensor:  # noqa: ARG002 - the CPU hands it back
        """Allocate bytes on the device."""
        return self._torch.empty(nbytes, dtype=self._torch.uint8, device=self._device)

    def landing(self, staged: Staged, raw: Any) -> None:
        """Begin to copy back what the kernels so far have left."""
        staged.raw[: raw.numel()].copy_(raw, non_blocking=True)
        self._begun(staged)

    def wait(self, staged: Staged) -> None:
        """Wait for the last copy to or from a buffer."""
        if staged.copied:
            staged.copied.synchronize()

    def tidy(self) -> None:
        """Empty torch's cache of device memory."""
        if self._is_cuda:
            self._cuda.empty_cache()

    def _begun(self, staged: Staged) -> None:
        if self._is_cuda:
            staged.copied = self._cuda.Event()
            staged.copied.record()


def choose(name: str) -> str:
    """Turn `--device` into a device: "cpu" or "cuda:N"; "auto" is CUDA where there is a usable one.

    Raises:
        ModelbuildError: exit 2 if the name is no device or the device is not there.

    """
    if name == "cpu" or (name == "auto" and not _has_nvidia()):
        return "cpu"
    kind, _, number = name.partition(":")
    if name != "auto" and (kind != "cuda" or not (number == "" or number.isdecimal())):
        raise ModelbuildError(Problem(f"`{name}` is no device", hint="use auto, cpu, cuda or cuda:N"))
    import torch

    index, count = int(number or 0), torch.cuda.device_count()
    if index < count:
        return f"cuda:{index}"
    if name == "auto":
        return "cpu"
    raise ModelbuildError(
        Problem(
            f"there is no device `{name}`",
            facts=(f"torch {torch.__version__} sees {count} CUDA device{'s' * (count != 1)}",),
            hint="use --device cpu",
        ),
        Exit.USAGE,
    )


class Devices(NamedTuple):
    """What computes a build: "cpu" or "cuda:N", for what is exact and goes by chunks, and for all else."""

    chunks: str
    whole: str

    def of(self, action: Action) -> str:
        """Return what computes an action."""
        return self.chunks if self.chunks == self.whole or (action.method.numerics == "exact" and action.streaming) else self.whole

    @property
    def name(self) -> str:
        """Both of them, in words."""
        return self.chunks if self.chunks == self.whole else f"{self.chunks}, {self.whole}"


def assign(name: str, actions: Iterable[Action]) -> Devices:
    """Turn `--device` into what computes a plan.

    "auto" takes a GPU for decompositions and the like.  What goes by chunks the CPU does as fast as files are read and
    digested, and it is the same bytes: see docs/performance.md.

    Raises:
        ModelbuildError: exit 2 if the name is no device or the device is not there.

    """
    if name != "auto":
        return Devices(choose(name), choose(name))
    asked = Devices("cpu", name)
    return Devices("cpu", choose(name) if _has_nvidia() and any(asked.of(action) == name for action in actions) else "cpu")


def seen() -> Iterator[tuple[str, str, int, int]]:
    """Yield the CUDA devices that torch sees: name, model, bytes free and in all."""
    import torch

    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index}", torch.cuda.get_device_name(index), *torch.cuda.mem_get_info(index)


def identity(devices: Devices, actions: Iterable[Action]) -> str:
    """Return what keys say of what computes: nothing where all methods are exact, else the device's name and torch's version."""
    if all(action.method.numerics == "exact" for action in actions):
        return ""
    return f"{devices.whole} torch {metadata.version('torch')}"


def class_of(name: str) -> type[Cpu | Torch]:
    """Return the class of a device that `choose` returned."""
    return Cpu if name == "cpu" else Torch


def open_device(name: str) -> Device:
    """Open a device that `choose` returned."""
    return Cpu() if name == "cpu" else Torch(name)


def _has_nvidia() -> bool:
    """Tell whether it is worth importing torch to look for a GPU: a driver is there, and is not hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))

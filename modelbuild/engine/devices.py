"""What computes: numpy buffers and compiled kernels on the CPU, torch tensors on a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels import Array, Kernels, load
from modelbuild.plan import Action

if TYPE_CHECKING:
    import torch


class Device(Protocol):
    """Buffers of one device, and the kernels that work on them."""

    name: str
    kernels: Kernels

    def floats(self, count: int) -> Array:
        """Allocate `count` float32 elements where kernels work."""

    def staging(self, nbytes: int) -> tuple[Any, memoryview]:
        """Allocate host bytes: as the device takes them, and as files do."""

    def upload(self, staged: Any, nbytes: int) -> Array:
        """Bring the first `nbytes` of a staging buffer to where kernels work."""

    def download(self, staged: Any, nbytes: int) -> Array:
        """Return where kernels are to leave `nbytes`; `landed` brings them into the staging buffer."""

    def landed(self, staged: Any, raw: Array) -> None:
        """Wait until what kernels left in `raw` stands in the staging buffer."""


class Cpu:
    """The CPU, with compiled kernels; imports no torch."""

    def __init__(self) -> None:
        """Load the kernels."""
        import numpy

        self.name = "cpu"
        self.kernels = load("cpu")
        self._numpy = numpy

    def floats(self, count: int) -> Array:
        """Allocate float32 elements."""
        return self._numpy.empty(count, self._numpy.float32)

    def staging(self, nbytes: int) -> tuple[Any, memoryview]:
        """Allocate bytes."""
        raw = self._numpy.empty(nbytes, self._numpy.uint8)
        return raw, memoryview(raw.data)

    def upload(self, staged: Any, nbytes: int) -> Array:
        """Use the bytes where they are."""
        return staged[:nbytes]

    def download(self, staged: Any, nbytes: int) -> Array:
        """Let kernels write where files read."""
        return staged[:nbytes]

    def landed(self, staged: Any, raw: Array) -> None:
        """Do nothing: they are there."""


class Torch:
    """A torch device, with the torch twins of the kernels."""

    def __init__(self, name: str) -> None:
        """Load the kernels for a torch device such as "cuda:0"."""
        import torch

        self.name = name
        self.kernels = load(f"torch:{name}")
        self._torch = torch
        self._device = torch.device(name)
        self._pin = self._device.type == "cuda"

    def floats(self, count: int) -> torch.Tensor:
        """Allocate float32 elements on the device."""
        return self._torch.empty(count, dtype=self._torch.float32, device=self._device)

    def staging(self, nbytes: int) -> tuple[Any, memoryview]:
        """Allocate pinned bytes on the host."""
        raw = self._torch.empty(nbytes, dtype=self._torch.uint8, pin_memory=self._pin)
        return raw, memoryview(raw.numpy().data)

    def upload(self, staged: Any, nbytes: int) -> torch.Tensor:
        """Copy the bytes to the device; they are there when this returns, so that the buffer may be filled again."""
        uploaded: torch.Tensor = staged[:nbytes].to(self._device)
        return uploaded

    def download(self, staged: Any, nbytes: int) -> torch.Tensor:  # noqa: ARG002 - the CPU hands it back
        """Allocate bytes on the device."""
        return self._torch.empty(nbytes, dtype=self._torch.uint8, device=self._device)

    def landed(self, staged: Any, raw: Any) -> None:
        """Copy the bytes back."""
        staged[: raw.numel()].copy_(raw)


def choose(name: str) -> str:
    """Turn `--device` into a device: "cpu" or "cuda:N"; "auto" is CUDA where there is a usable one.

    Raises:
        ModelbuildError: exit 2 if the name is no device or the device is not there.

    """
    if name == "cpu" or (name == "auto" and not _has_nvidia()):
        return "cpu"
    kind, _, number = name.partition(":")
    if name != "auto" and (kind != "cuda" or not (number == "" or number.isdigit())):
        raise ModelbuildError(Problem(f"`{name}` is no device", hint="use auto, cpu, cuda or cuda:N"))
    import torch

    index = int(number or 0)
    if index < torch.cuda.device_count():
        return f"cuda:{index}"
    if name == "auto":
        return "cpu"
    raise ModelbuildError(
        Problem(
            f"there is no device `{name}`",
            facts=(f"torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices",),
            hint="use --device cpu",
        ),
        Exit.USAGE,
    )


def identity(name: str, actions: Iterable[Action]) -> str:
    """Return what keys say of a device: nothing where all methods are exact, else its name and torch's version."""
    if all(action.method.numerics == "exact" for action in actions):
        return ""
    return f"{name} torch {metadata.version('torch')}"


def open_device(name: str) -> Device:
    """Open a device that `choose` returned."""
    return Cpu() if name == "cpu" else Torch(name)


def _has_nvidia() -> bool:
    """Tell whether it is worth importing torch to look for a GPU: a driver is there, and is not hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))

"""Which device computes what: of those that are there, and of what `--device` says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.engine.devices import Cpu, Device, Torch
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import is_device, plain

if TYPE_CHECKING:
    from modelbuild.plan import Action


def choose(name: str) -> str:
    """Turn `--device` into one device: "cpu" or "cuda:N"; "auto" is CUDA where there is a usable one.

    That is where models are loaded.  What computes merges is told by `assign`.

    Raises:
        ModelbuildError: exit 2 if the name is no device or the device is not there.

    """
    if name == "cpu" or (name == "auto" and not has_nvidia()):
        return "cpu"
    if not is_device(name):
        raise ModelbuildError(Problem(f"`{plain(name)}` is no device", hint="use auto, cpu, cuda or cuda:N"))
    import torch

    index, count = int(name.partition(":")[2] or 0), torch.cuda.device_count()
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
        return self.chunks if self.chunks == self.whole or _by_chunks(action) else self.whole

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
        chosen = choose(name)
        return Devices(chosen, chosen)
    return Devices("cpu", "cpu" if not has_nvidia() or all(map(_by_chunks, actions)) else choose(name))


def _by_chunks(action: Action) -> bool:
    """Tell whether an action is exact and goes by chunks: whatever computes it, it is the same bytes."""
    return action.method.numerics == "exact" and action.streaming


def seen() -> Iterator[tuple[str, str, int, int]]:
    """Yield the CUDA devices that torch sees: name, model, bytes free and in all."""
    import torch

    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index}", torch.cuda.get_device_name(index), *torch.cuda.mem_get_info(index)


def room(name: str) -> int:
    """Return the bytes that whole tensors may take on a device: half of what is free on a GPU, 0 where host memory is the bound."""
    if name == "cpu":
        return 0
    import torch

    return int(torch.cuda.mem_get_info(name)[0]) // 2


def identity(devices: Devices, actions: Iterable[Action]) -> str:
    """Return what keys say of what computes: nothing where all methods are exact, else the device's name and torch's version."""
    if all(action.method.numerics == "exact" for action in actions):
        return ""
    from importlib import metadata

    return f"{devices.whole} torch {metadata.version('torch')}"


def class_of(name: str) -> type[Cpu | Torch]:
    """Return the class of a device that `choose` returned."""
    return Cpu if name == "cpu" else Torch


def open_device(name: str) -> Device:
    """Open a device that `choose` returned."""
    return Cpu() if name == "cpu" else Torch(name)


def has_nvidia() -> bool:
    """Tell whether it is worth importing torch to look for a GPU: a driver is there, and is not hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))

"""One tensor merged without a build: by the engine on any device, and by the short form, which the engine is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import Struct, field

from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine.compute import compute, masks
from modelbuild.engine.devices import Cpu, Device
from modelbuild.engine.regions import MemoryRegion, Region, digest_of
from modelbuild.engine.workspace import Job, Workspace, Write
from modelbuild.kernels import BLOCK
from modelbuild.method import Method
from modelbuild.plan import Action, Leaf
from tests.support.checkpoints import from_bfloat16, to_bfloat16

DTYPES = ("BF16", "F16", "F32")
TORCH_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
CPU = Cpu()


def stored(values: np.ndarray, dtype: str) -> bytes:
    """Write float32 values as a file would hold them."""
    return {"BF16": to_bfloat16, "F16": lambda x: x.astype("<f2"), "F32": lambda x: x.astype("<f4")}[dtype](values).tobytes()


def loaded(data: bytes, dtype: str) -> np.ndarray:
    """Read float32 values back."""
    if dtype == "BF16":
        return from_bfloat16(np.frombuffer(data, "<u2"))
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32)


def region(values: np.ndarray, dtype: str) -> MemoryRegion:
    """Put a tensor into memory."""
    return MemoryRegion(bytearray(stored(values, dtype)))


def no_check() -> None:
    """Let a job go on."""


class Case(Struct, frozen=True, dict=True):
    """A merge of one tensor.

    Args:
        method: what is computed.
        inputs: float32 values, all of one shape; they are stored as `dtype`, so that this rounds them.
        params: by Python name; what is not given has its default.
        base: of a method that takes one.
        dtype: how inputs and base are stored.
        to: what the result is rounded to, where that is not `dtype`.
        seed: of random masks.
        regions: where the bytes of base and inputs lie, where that is not in memory.
        lenient: whether NaN and Inf are allowed.

    """

    method: Method
    inputs: tuple[np.ndarray, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    base: np.ndarray | None = None
    dtype: str = "F32"
    to: str = ""
    seed: int = 0
    regions: tuple[Region, ...] = ()
    lenient: bool = False

    @cached_property
    def held(self) -> tuple[Region, ...]:
        """The bytes of the base, if there is one, and of the inputs."""
        values = self.inputs if self.base is None else (self.base, *self.inputs)
        return self.regions or tuple(region(one, self.dtype) for one in values)

    @cached_property
    def action(self) -> Action:
        """What the plan would make of it; inputs are called one::weight, two::weight, ..., the base base::weight."""
        unknown = self.params.keys() - {param.python_name for param in self.method.params}
        assert not unknown, f"`{self.method.name}` has no {unknown}"
        shape = self.inputs[0].shape
        names = ("one", "two", "three", "four", "five", "six", "seven", "eight")
        leaves = tuple(self._leaf(name, shape) for name, _ in zip(names, self.inputs, strict=False))
        base = None if self.base is None else self._leaf("base", shape)
        params, dtype = tuple(self._resolved()), self.to or self.dtype
        return Action("merged", "weight", self.method, params, base, leaves, dtype, shape, self.seed, lenient=self.lenient)

    def _leaf(self, source: str, shape: tuple[int, ...]) -> Leaf:
        return Leaf(source, TensorInfo("weight", self.dtype, shape, Path(source), 0, 0))

    def _resolved(self) -> Iterator[tuple[str, Any]]:
        for param in self.method.params:
            if not param.inert:
                default = (param.default,) * len(self.inputs) if param.per == "input" else param.default
                yield param.name, self.params.get(param.python_name, default)

    @property
    def streams(self) -> tuple[int, ...]:
        """The keys of the inputs' masks, as the engine finds them."""
        held = self.held if self.base is None else self.held[1:]
        return masks(self.seed, [digest_of(one, self.dtype, self.action.shape) for one in held]) if self.method.random else ()

    def compute(self, device: Device = CPU, chunk: int = BLOCK, check: Callable[[], None] = no_check) -> tuple[str, bytes]:
        """Run the engine, and return the digest it reports and the bytes it writes."""
        written = bytearray(self.action.nbytes)

        def write(start: int, data: memoryview) -> None:
            written[start : start + len(data)] = data

        digest = compute(self.job(write, check), Workspace(device, chunk)).digest
        return digest, bytes(written)

    def job(self, write: Write, check: Callable[[], None] = no_check) -> Job:
        """Make the engine's job, with the digests of what it reads known."""
        digests = tuple(digest_of(one, need.dtype, self.action.shape) for one, need in zip(self.held, self.action.needs, strict=True))
        return Job(self.action, self.held, digests, self.streams, write, check)

    def merged(self) -> np.ndarray:
        """Run the engine, and return the values."""
        return loaded(self.compute()[1], self.action.dtype).reshape(self.action.shape)

    def short(self) -> bytes:
        """Run the short form on torch tensors: add the base, round once, and return the bytes."""
        tensors = [self._tensor(one) for one in self.held]
        base = None if self.base is None else tensors.pop(0)
        params = {param.python_name: dict(self.action.params)[param.name] for param in self.method.params if not param.inert}
        if self.method.random:
            params["streams"] = self.streams
        result = self.method([tensor - base for tensor in tensors] if base is not None else tensors, **params)
        rounded = (result if base is None else base + result).to(TORCH_DTYPES[self.action.dtype])
        return rounded.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    def _tensor(self, one: Region) -> torch.Tensor:
        raw = bytearray(prod(self.action.shape) * TORCH_DTYPES[self.dtype].itemsize)
        one.read_into(memoryview(raw), 0)
        stored = torch.frombuffer(raw, dtype=TORCH_DTYPES[self.dtype]) if raw else torch.empty(0, dtype=TORCH_DTYPES[self.dtype])
        return stored.to(torch.float32).reshape(self.action.shape)

"""One action computed: chunks in, arithmetic in float32, one rounding, chunks out, hashed as they pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3
from msgspec.structs import replace

from modelbuild.digest import tensor_hasher
from modelbuild.engine.devices import Torch
from modelbuild.engine.serial import serial
from modelbuild.engine.steps import pieces
from modelbuild.engine.streams import Out, Reader
from modelbuild.engine.windows import faults
from modelbuild.engine.workspace import Job, Workspace
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels.operands import Plus, length
from modelbuild.plan import Action, Step, Survey


class Computed(NamedTuple):
    """The digest of a result, those of what it was computed from, and what is to be said of NaN and Inf that are allowed."""

    digest: str
    needs: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def compute(job: Job, workspace: Workspace) -> Computed:
    """Run an action in the form its method has, and return the digests of what was written and of what was read.

    Where memory gets full, it starts again with smaller chunks: they change no byte.  Where a file lost bytes that were looked
    at, it starts again and reads, which says what is wrong with the file.

    Raises:
        ModelbuildError: exit 1 if there are NaN or Inf in what is read or in what would be written and the action is not
            lenient; exit 6 if there is too little memory even so.

    """
    before = faults()
    try:
        computed = _fitted(job, workspace)
    except (ModelbuildError, ArithmeticError, ValueError):
        if faults() == before:
            raise
    else:
        if faults() == before:
            return computed
    with workspace.copying():
        return _fitted(job, workspace)


def _fitted(job: Job, workspace: Workspace) -> Computed:
    while True:
        with suppress(*workspace.device.exhausted), workspace.line:
            return _computed(job, workspace)
        if not (job.action.streaming and workspace.shrink()):
            fact = f"merging `{job.action.label}` needs more"
            hint = "use fewer --jobs, or --device cpu"
            raise ModelbuildError(Problem(f"the memory of {workspace.device.name} is full", facts=(fact,), hint=hint), Exit.LOCAL_IO)


def _computed(job: Job, workspace: Workspace) -> Computed:
    action = job.action
    if isinstance(action, Survey):
        return _surveyed(action, job, workspace)
    if isinstance(action, Step):
        return _stepped(action, job, workspace)
    out = Out(job, workspace)
    params = action.arguments
    later = action.streaming and action.method.carries(params) and not action.lenient
    reader = Reader(job, workspace, looks=not later)
    if action.streaming:
        _streamed(action, reader, out, params)
        if later and (out.nonfinite or reader.doubted):
            reader.look_through()
    else:
        with serial():
            _whole(job, reader, out, params)
    if not action.lenient:
        reader.complain()
    digest = out.digest()
    return Computed(digest, reader.digests(), (*reader.warnings(), *out.warnings()))


def _surveyed(action: Survey, job: Job, workspace: Workspace) -> Computed:
    readers, at = [], 0
    for part in action.parts:
        to = at + len(part.needs)
        readers.append(Reader(replace(job, action=part, regions=job.regions[at:to], digests=job.digests[at:to]), workspace))
        at = to
    found = np.asarray(action.method.short(readers, **action.arguments), "<f8").tobytes()
    job.write(0, memoryview(found))
    hasher = tensor_hasher(action.dtype, action.shape)
    hasher.update(found)
    return Computed(hasher.hexdigest(), tuple(digest for reader in readers for digest in reader.digests()))


def _stepped(action: Step, job: Job, workspace: Workspace) -> Computed:
    out, kernels, at = Out(job, workspace), workspace.device.kernels, 0
    for piece in pieces(action, job.regions, workspace.chunk):
        job.check()
        out.fill(at, piece, kernels)
        at += len(piece)
    return Computed(out.digest(), job.digests, tuple(out.warnings()))


def _streamed(action: Action, reader: Reader, out: Out, params: dict[str, Any]) -> None:
    method, kernels = action.method, reader.kernels
    assert method.apply is not None
    try:
        state = method.stats(reader, **params) if method.stats else None
        for offset, inputs in reader.chunks():
            raw = out.place(length(inputs[0]))
            place = Plus(raw, reader.base) if reader.delta and not action.bare else raw
            method.apply(kernels, inputs, place, state, offset, **params)
            out.put(offset, raw)
    except (ArithmeticError, ValueError) as error:
        if not action.lenient:
            raise
        raise _failed(action, error, 'remove `nonfinite = "allow"` to see what is NaN or Inf') from error


def _whole(job: Job, reader: Reader, out: Out, params: dict[str, Any]) -> None:
    """Run the short form: whole float32 tensors of the action's shape."""
    import torch

    action = job.action
    target = torch.device(reader.workspace.device.name)
    whole = [torch.empty(action.numel, dtype=torch.float32, device=target) for _ in action.inputs]
    base = torch.empty(action.numel, dtype=torch.float32, device=target) if reader.delta and not action.bare else None
    for offset, inputs in reader.chunks():
        for tensor, chunk in zip(whole, inputs, strict=True):
            tensor[offset : offset + length(chunk)] = torch.as_tensor(reader.kernels.floats(chunk))
        if base is not None:
            base[offset : offset + length(inputs[0])] = torch.as_tensor(reader.kernels.floats(reader.base))
    more: dict[str, Any] = {"streams": job.streams} if action.method.random else {}
    more |= {"survey": reader.survey} if action.survey else {}
    device = reader.workspace.device
    try:
        result = action.method.short([tensor.reshape(action.shape) for tensor in whole], **params, **more)
    except device.exhausted:
        raise
    except (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError) as error:  # a stranger's
        raise _failed(action, error, "mend the method") from error
    if not isinstance(result, torch.Tensor) or tuple(result.shape) != action.shape:
        found = f"a tensor of shape {list(result.shape)}" if isinstance(result, torch.Tensor) else f"a {type(result).__name__}"
        raise ModelbuildError(
            Problem(
                f"`{action.method.name}` returned {found} for `{action.label}`",
                facts=(f"expected a tensor of shape {list(action.shape)}",),
                hint="mend the method",
            ),
            Exit.ACTION_FAILED,
        )
    merged = result.detach().to(torch.float32).reshape(-1)
    merged = merged if base is None else base + merged
    chunk = reader.workspace.chunk
    for offset in range(0, action.numel, chunk):
        piece = merged[offset : offset + chunk]
        out.fill(offset, piece if isinstance(device, Torch) else piece.numpy(), reader.kernels)


def _failed(action: Action, error: Exception, hint: str) -> ModelbuildError:
    fact = f"{type(error).__name__}: {error}"
    what = f"the method `{action.method.name}` failed on `{action.label}`"
    return ModelbuildError(Problem(what, facts=(fact,), hint=hint), Exit.ACTION_FAILED)


def masks(seed: int, digests: Sequence[str]) -> tuple[int, ...]:
    """Return the 64-bit key of each input's random mask: a function of the seed and the input's content alone."""
    return tuple(int.from_bytes(blake3(f"mask {seed} {digest}".encode()).digest()[:8], "little") for digest in digests)

"""The checks that need no model: are the numbers finite, and does a model take every tensor?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.checkpoint.header import TensorInfo, read_header
from modelbuild.checks.measured import Measured

if TYPE_CHECKING:
    from modelbuild.checks.loading import Subject

_CHUNK = 1 << 22
"""Bytes that are looked at in one go."""

_EXPONENTS = {
    "BF16": ("<u2", 0x7F80),
    "F16": ("<u2", 0x7C00),
    "F32": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0 << 48),
    "F8_E5M2": ("u1", 0x7C),
}
"""The bits of a float's exponent, by type: NaN and infinity are the numbers that have all of them."""
_NAN_ALONE = {"F8_E4M3": ("u1", 0x7F)}
"""Types without infinity, whose NaN has all bits but the sign."""

_SHOWN = 5


def finite(subject: Subject) -> Measured:
    """Count NaN and infinity in every float of a model's weights."""
    problems: list[str] = []
    total = 0
    for info in _weights(subject.path):
        total += info.numel
        count = _nonfinite(info)
        if count:
            problems.append(f"`{info.name}` has {count} of {info.numel} that are NaN or infinite")
    return Measured(problems=_first(problems, "tensor"), facts=(f"{total:,} numbers",))


def _nonfinite(info: TensorInfo) -> int:
    import numpy

    kind, mask = {**_EXPONENTS, **_NAN_ALONE}.get(info.dtype, ("", 0))
    if not kind:
        return 0
    count, left = 0, info.nbytes
    with info.path.open("rb") as file:
        file.seek(info.offset)
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                return count  # the file has become shorter: its digest tells
            left -= len(data)
            bits = numpy.frombuffer(data, kind)
            count += int(numpy.count_nonzero((bits & bits.dtype.type(mask)) == mask))
    return count


def loads(subject: Subject) -> Measured:
    """Load a model onto torch's meta device, where tensors have shapes and no numbers: every key has to be its own."""
    if subject.is_adapter:
        names = [info.name for info in _weights(subject.path)]
        stray = [f"`{name}` is no tensor of a LoRA adapter" for name in names if ".lora_" not in name]
        return Measured(problems=_first(stray, "tensor"), facts=(f"{len(names)} tensors of an adapter",))
    from modelbuild.checks.loading import on_meta

    name, told = on_meta(subject)
    problems = [
        *(f"`{key}` is missing" for key in sorted(map(str, told["missing_keys"]))),
        *(f"`{key}` is not the model's" for key in sorted(map(str, told["unexpected_keys"]))),
        *(f"`{key[0]}` has shape {tuple(key[1])}, and the model wants {tuple(key[2])}" for key in sorted(told["mismatched_keys"], key=str)),
        *map(str, told["error_msgs"]),
    ]
    return Measured(problems=_first(problems, "key"), facts=(name,))


def _weights(directory: Path) -> Iterable[TensorInfo]:
    for path in sorted(directory.glob("*.safetensors")):
        yield from read_header(path)


def _first(problems: list[str], noun: str) -> tuple[str, ...]:
    more = len(problems) - _SHOWN
    return (*problems[:_SHOWN], *([f"and {more} more {noun}s"] if more > 0 else []))

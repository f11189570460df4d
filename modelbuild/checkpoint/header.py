"""The safetensors format: headers read with distrust, headers written byte for byte the same.

Format: 8 bytes little-endian header length, a JSON object, then the tensors' bytes without holes.
https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, MsgspecError, Struct, field
from msgspec.json import Decoder

from modelbuild.checkpoint.dtypes import SIZES, nbytes
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import natural, plain

MAX_HEADER = 100_000_000
"""Bytes; the reference reader refuses longer headers."""

MAX_TENSORS = 250_000
"""Of one file: the largest models have half as many in a hundred files."""

MAX_NAME = 1024
"""Characters of a tensor's name, which are all printable: it is shown, matched with patterns, and ordered by the numbers in it."""

MAX_DIMENSIONS = 64
"""What arrays can have."""

_MAX_SIZE = 1 << 63

MODEL = {"format": "pt"}
"""What readers expect to find noted in a file of weights."""

ALIGNMENT = 4096
"""The data section of a file we write starts at a multiple of this, so that file systems can share whole blocks."""


class TensorInfo(Struct, frozen=True, eq=False):
    """Where one tensor lies: `nbytes` bytes at `offset` of the file at `path`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)


def read_header(path: Path) -> tuple[TensorInfo, ...]:
    """Read the header of a safetensors file, in the order of the bytes.

    Raises:
        ModelbuildError: exit 5 if the file is not sound: every length, type, shape and range is checked.

    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        return parse_header(path, size, start + file.read(header_length(path, size, start)))


def header_length(path: Path, size: int, start: bytes) -> int:
    """Return the length that a file's first 8 bytes give its header, if a file of `size` bytes can have such a header."""
    length = int.from_bytes(start[:8], "little") if size >= 8 else -1
    if not 0 <= length <= min(MAX_HEADER, size - 8):
        raise _malformed(
            path, f"the file has {size} bytes and says its header has {length}" if size >= 8 else f"the file has only {size} bytes"
        )
    return length


def parse_header(path: Path, size: int, start: bytes) -> tuple[TensorInfo, ...]:
    """Read the header of a file of `size` bytes from what it starts with: its first 8 bytes and the header, or more."""
    length = header_length(path, size, start)
    raw = start[8 : 8 + length]
    if raw.count(b"{") > MAX_TENSORS or raw.count(b"[") > 2 * MAX_TENSORS or raw.count(b",") > 20 * MAX_TENSORS:  # before it takes memory
        raise _malformed(path, f"its header has more than {MAX_TENSORS} entries")
    tensors = _plain(path, raw, 8 + length, size) or _explained(path, raw, 8 + length, size)
    tensors.sort(key=attrgetter("offset", "nbytes"))
    for before, after in pairwise(tensors):
        if before.offset + before.nbytes > after.offset:
            raise _malformed(path, f"`{before.name}` and `{after.name}` overlap")
    return tuple(tensors)


class _Entry(Struct, gc=False):
    """What each key holds; where one is missing, what no tensor has."""

    dtype: str = ""
    shape: tuple[Annotated[int, Meta(ge=1, lt=1 << 62)], ...] = (0,)
    data_offsets: tuple[int, int] = (0, 0)


class _Noted(Struct):
    metadata: dict[str, str] = field(name="__metadata__", default_factory=dict)


_ENTRIES, _NOTES = Decoder(dict[str, _Entry]), Decoder(_Noted)
_TYPES = {dtype: (dtype, size) for dtype, size in SIZES.items()}
"""One string for all tensors of a type, and its bytes."""


def _plain(path: Path, raw: bytes, data: int, size: int) -> list[TensorInfo]:
    """Read a header in which nothing is odd, as most are: none of any other, which `_explained` reads again.

    Some models have a hundred thousand tensors.  That no key stands twice is told by the colons: there is one for each that was read.
    """
    try:
        entries = _ENTRIES.decode(raw)
        noted = _NOTES.decode(raw).metadata if entries.pop("__metadata__", None) else None
    except (MsgspecError, ValueError, RecursionError):
        return []
    if raw.count(b":") != 4 * len(entries) + (0 if noted is None else 1 + len(noted)):
        return []
    tensors, room = [], size - data
    for name, entry in entries.items():
        (start, stop), shape = entry.data_offsets, entry.shape
        dtype, width = _TYPES.get(entry.dtype, ("", 0))
        if len(shape) > MAX_DIMENSIONS or len(name) > MAX_NAME or not name.isprintable():
            return []
        if not 0 <= start < stop <= room or stop - start != width * prod(shape):
            return []
        tensors.append(TensorInfo(name, dtype, shape, path, data + start, stop - start))
    return tensors


def _explained(path: Path, raw: bytes, data: int, size: int) -> list[TensorInfo]:
    """Read any header, and say what is wrong with it."""
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise _malformed(path, "its header is nested too deep") from None
    except ValueError as error:
        raise _malformed(path, f"its header is not sound JSON: {error}") from None
    if not isinstance(header, dict):
        raise _malformed(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    return [_tensor(path, name, entry, data, size) for name, entry in header.items()]


def _tensor(path: Path, name: str, entry: Any, data: int, size: int) -> TensorInfo:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    dtype, dims, span = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if len(name) > MAX_NAME or not name.isprintable():
        raise _malformed(path, f"`{plain(name)}` is no name of a tensor: it has {len(name)} characters, or some that cannot be shown")
    if isinstance(dtype, str) and dtype not in SIZES:
        raise _malformed(path, f"`{name}` has the unknown type {plain(dtype)}")
    start, stop = span if isinstance(span, list) and len(span) == 2 else (None, None)
    if not (isinstance(dtype, str) and isinstance(dims, list) and type(start) is int and type(stop) is int):
        raise _malformed(path, f"the header's entry for `{name}` is not {{dtype, shape, data_offsets}}")
    if len(dims) > MAX_DIMENSIONS:
        raise _malformed(path, f"`{name}` has a shape of {len(dims)} dimensions")
    for dim in dims:
        if type(dim) is int and 0 <= dim < _MAX_SIZE:
            continue
        shown = f"the shape {plain(str(dims), 200)}" if all(type(dim) is int for dim in dims) else "a shape that is no list of sizes"
        raise _malformed(path, f"`{name}` has {shown}")
    if not 0 <= start <= stop <= size - data:
        raise _malformed(path, f"`{name}` claims bytes {plain(str(start))} to {plain(str(stop))} of {size - data}")
    shape = tuple(dims)
    if stop - start != SIZES[dtype] * prod(shape):
        raise _malformed(path, f"`{name}` is {dtype} of shape {dims} and so has {nbytes(dtype, shape)} bytes, not {stop - start}")
    if not stop > start and prod(filter(None, shape)) >= _MAX_SIZE:
        raise _malformed(path, f"`{name}` has the shape {dims}")
    return TensorInfo(name, dtype, shape, path, data + start, stop - start)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"`{plain(twice)}` stands there twice")
    return table


def _malformed(path: Path, fact: str) -> ModelbuildError:
    return ModelbuildError(Problem(f"`{path}` is no sound safetensors file", facts=(fact,), hint="download or copy it again"), Exit.SOURCE)


class Layout(Struct, frozen=True):
    """A safetensors file before it is written.

    Args:
        header: its first bytes, length and padding included.
        tensors: (name, dtype, shape) in the order of the bytes.
        offsets: where each tensor starts in the file.
        size: bytes of the whole file.

    """

    header: bytes
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    offsets: tuple[int, ...]
    size: int


def lay_out(tensors: Sequence[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str] = MODEL) -> Layout:
    """Lay tensors out in a file: widest types first, so that every tensor is aligned to its type, then by natural name.

    The header depends on names, types and shapes alone, however the tensors were ordered, and on `metadata`.
    """
    ordered = tuple(sorted(tensors, key=lambda tensor: (-SIZES[tensor[1]], natural(tensor[0]))))
    table: dict[str, Any] = {"__metadata__": dict(metadata)}
    starts, position = [], 0
    for name, dtype, shape in ordered:
        stop = position + nbytes(dtype, shape)
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, stop]}
        starts.append(position)
        position = stop
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    padded = -(-(8 + len(text)) // ALIGNMENT) * ALIGNMENT - 8
    header = padded.to_bytes(8, "little") + text.ljust(padded)
    return Layout(header, ordered, tuple(len(header) + start for start in starts), len(header) + position)

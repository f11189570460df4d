"""What stands beside a pack: its tensors' names, digests, keys and offsets, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

from blake3 import blake3
from msgspec import Struct

from modelbuild.cache.layout import Json, is_digest, parse_json, write_json
from modelbuild.checkpoint.dtypes import SIZES, nbytes
from modelbuild.digest import encode
from modelbuild.reading import read_small

_LARGEST = 1 << 28

PACK_FORMAT = 1
"""Raised by hand when the header of packs changes: it is part of their names."""


class TensorEntry(Struct, frozen=True):
    """One tensor of a pack.

    Args:
        name: as in the safetensors header.
        dtype: safetensors' code.
        shape: () for a scalar.
        digest: of dtype, shape and bytes; 64 hexadecimal digits.
        key: of the action that gave it, or "" where no action did (a copy, a rename).

    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: str
    key: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor occupies."""
        return nbytes(self.dtype, self.shape)


class Sidecar(Struct, frozen=True):
    """The contents of a pack.

    Args:
        size: of the pack file, in bytes.
        data_start: where its data section starts.
        header: blake3 of what stands before that.
        tensors: each with its offset in bytes from the start of the file.

    """

    size: int
    data_start: int
    header: str
    tensors: tuple[tuple[TensorEntry, int], ...]

    def data(self) -> bytes:
        """Return the file's text."""
        tensors = [tensor_json(entry, offset) for entry, offset in self.tensors]
        whole = {"format": PACK_FORMAT, "size": self.size, "data_start": self.data_start, "header": self.header, "tensors": tensors}
        return write_json(whole).encode() + b"\n"


def pack_id(entries: Iterable[TensorEntry]) -> str:
    """Return a pack's name by content: over (name, dtype, shape, digest) of its tensors in order, keys left out."""
    contents = tuple((entry.name, entry.dtype, entry.shape, entry.digest) for entry in entries)
    return blake3(encode(("modelbuild", "pack", PACK_FORMAT, contents))).hexdigest()


def read_sidecar(path: Path) -> Sidecar | None:
    """Read the file beside a pack; None where it is missing, unreadable or does not make sense."""
    try:
        value = parse_json(read_small(path, _LARGEST))
    except OSError:
        return None
    match value:
        case {"format": 1, "size": int(size), "data_start": int(start), "header": str(header), "tensors": list(tensors)}:
            found = tuple(tensor for item in tensors if (tensor := parse_tensor(item)) is not None)
            inside = all(start <= offset <= size - entry.nbytes for entry, offset in found)
            if len(found) == len(tensors) and inside and 0 <= start <= size and is_digest(header):
                return Sidecar(size, start, header, found)
    return None


def tensor_json(entry: TensorEntry, offset: int) -> dict[str, Json]:
    """Return a tensor and where it stands as JSON."""
    return {
        "name": entry.name,
        "dtype": entry.dtype,
        "shape": list(entry.shape),
        "digest": entry.digest,
        "key": entry.key,
        "offset": offset,
    }


def parse_tensor(value: Json) -> tuple[TensorEntry, int] | None:
    """Read what `tensor_json` gives; None for anything else."""
    match value:
        case {"name": str(name), "dtype": str(dtype), "shape": list(shape), "digest": str(digest), "key": str(key), "offset": int(offset)}:
            sizes = tuple(size for size in shape if _is_count(size))
            sane = len(sizes) == len(shape) and _is_count(offset) and dtype in SIZES
            if sane and is_digest(digest) and (key == "" or is_digest(key)):
                return TensorEntry(name, dtype, sizes, digest, key), offset
    return None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0

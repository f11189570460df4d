"""A cache to try things on, and packs to put in it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelbuild import files
from modelbuild.cache import Cache, Staging, TensorEntry, pack_id
from modelbuild.digest import tensor_hasher
from tests.support.doors import Dying, Killed

__all__ = ["Killed"]

Make = Callable[..., str]
"""Builds a pack of named byte strings and returns its id."""

Arm = Callable[[int], None]
"""Makes the n-th operation from now the one that never happens; -1 lets all happen."""


def key(name: str) -> str:
    """Return a key that looks like one."""
    return tensor_hasher("U8", (0,)).update(name.encode()).hexdigest()


def entry(name: str, data: bytes) -> TensorEntry:
    """Describe bytes as a tensor of U8."""
    digest = tensor_hasher("U8", (len(data),)).update(data).hexdigest()
    return TensorEntry(name, "U8", (len(data),), digest, key(name))


def write_pack(staging: Staging, tensors: dict[str, bytes], name: str = "pack") -> tuple[Path, tuple[TensorEntry, ...], list[int], int]:
    """Write a safetensors file as the engine does; return what `Packs.add` takes."""
    header: dict[str, object] = {}
    end = 0
    for tensor, data in tensors.items():
        header[tensor] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    pack = staging.open_pack(name, struct.pack("<Q", len(text)) + text, end)
    offsets = []
    offset = 0
    for tensor, data in tensors.items():
        pack.write(offset, data)
        pack.finished(entry(tensor, data), offset)
        offsets.append(offset)
        offset += len(data)
    return pack.seal(), tuple(entry(*item) for item in tensors.items()), offsets, pack.data_start


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """Open a cache that does not exist yet."""
    opened = Cache.open(tmp_path / "cache")
    yield opened
    opened.close()


@pytest.fixture
def make(cache: Cache) -> Make:
    """Add packs to the cache."""

    def add(**tensors: bytes) -> str:
        staging = cache.staging()
        staged, entries, offsets, start = write_pack(staging, tensors)
        pack = cache.packs.add(staged, entries, offsets, start)
        staging.close()
        assert pack_id(entries) == pack
        return pack

    return add


@pytest.fixture
def die_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    """Kill the process at an operation."""

    def arm(last: int) -> None:
        monkeypatch.setattr(files.door, "current", Dying(last) if last >= 0 else files.door.Door())

    yield arm
    monkeypatch.setattr(files.door, "current", files.door.Door())

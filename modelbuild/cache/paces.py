"""How long builds took on this machine: what the time and the memory of the next one are foretold from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from blake3 import blake3
from msgspec import Struct, to_builtins

from modelbuild.cache.index import Index

KEPT = 20
"""Builds that are remembered for each machine and device."""


class Ran(Struct, frozen=True):
    """What one build took.

    Args:
        spent: by method, or "reading" and "copying": bytes that went in and came out, and the seconds of workers that took.
        jobs: workers.
        rest: seconds of the build in which no worker did any of that: starting, bringing files to disk, publishing.
        written: bytes.
        memory: bytes of the largest resident set beyond the buffers of workers.

    """

    spent: Mapping[str, tuple[int, float]]
    jobs: int
    rest: float
    written: int
    memory: int


class PaceTable:
    """The last builds by machine and device, under `t:` in an index."""

    def __init__(self, index: Index) -> None:
        """Keep the table in `index`."""
        self._index = index

    def of(self, device: str) -> tuple[Ran, ...]:
        """Return the last builds with a device on this machine, the newest one last."""
        stored = self._index.get(_key(device))
        return tuple(filter(None, map(_read, stored))) if isinstance(stored, list) else ()

    def remember(self, device: str, ran: Ran) -> None:
        """Note a build."""
        self._index.put_many({_key(device): [to_builtins(one) for one in (*self.of(device), ran)][-KEPT:]})


def _read(row: Any) -> Ran | None:
    """Read what was stored; None where it is nothing that was."""
    try:
        spent = {str(kind): (int(nbytes), float(seconds)) for kind, (nbytes, seconds) in row["spent"].items()}
        ran = Ran(spent, int(row["jobs"]), float(row["rest"]), int(row["written"]), int(row["memory"]))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return ran if ran.jobs > 0 else None


def _key(device: str) -> str:
    return "t:" + blake3(f"{os.uname().nodename} {device}".encode()).hexdigest()[:32]

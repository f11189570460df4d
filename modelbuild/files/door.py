"""The door: what every operation that changes a file system passes, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

Buffer = bytes | bytearray | memoryview
"""What can be written: contiguous bytes, or a memoryview of an array."""

AT_END = -1
"""The offset of what is appended."""


class Operation(Struct, frozen=True):
    """One call of the system that changes something, syncs it, or locks it.

    Args:
        kind: what is done: create, write, sync, rename, and so on.
        path: what it is done to; of a rename, an exchange or a link: the name that is given.
        source: of a rename, an exchange, a link or a clone: the other name.
        offset: of a write or an allocation: bytes from the start of the file, `AT_END` for the end.
        data: what is written.
        size: of an allocation or a truncation: what the file has afterwards, at least; of a chmod: the mode.

    """

    kind: str
    path: Path
    source: Path | None = None
    offset: int = 0
    data: Buffer = b""
    size: int = 0


class Door:
    """Lets everything pass.  Tests put one of their own in its place; threads pass at once."""

    def before(self, operation: Operation) -> int:
        """Take note of an operation about to happen, raise what it is to fail with, or return how many bytes a write may write."""
        return len(operation.data)

    def after(self, operation: Operation) -> None:
        """Take note of an operation that was done; of a write, `data` is what was written."""


current = Door()
"""The door that is passed."""


@contextmanager
def passing(kind: str, path: Path, source: Path | None = None, *, data: Buffer = b"", size: int = 0) -> Iterator[None]:
    """Pass the door with an operation that the body does."""
    operation = Operation(kind, path, source, data=data, size=size)
    current.before(operation)
    yield
    current.after(operation)

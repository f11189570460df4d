"""Whole files that others wrote, read with distrust: only regular ones, and only so many bytes.

A FIFO waits for ever, a device never ends, and a sparse file of a terabyte costs nobody anything to make.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

SMALL = 64_000_000
"""Bytes that a file beside weights may have: the largest tokenizers have half as many."""

TEXT = 1_000_000
"""Bytes that a Modelfile may have: a second's reading."""

LOCK = 4_000_000
"""Bytes that a lock may have, which lists every file of every source."""

YAML = 200_000
"""Bytes that a recipe may have: YAML is read slowly."""

_DEEPEST = 100
"""Levels of JSON: no file beside weights has ten, and what reads and writes JSON recurses."""


class Unfit(OSError):
    """A file that is not read: it is none, or too large; the message says so of `it`."""


def is_regular(path: Path) -> bool:
    """Tell whether a file itself stands at a path, and no link to one: what we publish is never a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def read_small(path: Path, most: int = SMALL) -> bytes:
    """Read a regular file of at most `most` bytes.

    Raises:
        Unfit: if it is another kind of file, or larger.
        OSError: if it cannot be read.

    """
    _refuse_irregular(path, path.stat())  # a device may do something when it is opened
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:  # noqa: PTH123 - of a descriptor: a path may be another file by now
        status = os.fstat(fd)
        _refuse_irregular(path, status)
        data = file.read(most + 1) if status.st_size <= most else b""
    if status.st_size > most or len(data) > most:
        raise Unfit(f"it is larger than {most} bytes")
    return data


def _refuse_irregular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise Unfit("it is no regular file")


def parse_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object that is nested no deeper than anything sound.

    Raises:
        ValueError: if it is none; the message says so of `it`.

    """
    try:
        table = json.loads(data)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(table, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - like any other fault of the file
    level: list[Any] = [table]
    for _ in range(_DEEPEST):
        level = [
            one for held in level for one in (held.values() if isinstance(held, dict) else held) if isinstance(one, dict | list) and one
        ]
        if not level:
            return table
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"its JSON is nested deeper than {_DEEPEST} levels"

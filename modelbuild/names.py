"""Words everyone uses: key paths, tensor names and their natural order, sizes."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

LIMIT = 60
"""Characters of a text from elsewhere that one message repeats."""

KeyPath = tuple[str | int, ...]
"""Where a value stands in a Modelfile: ("merge", "skills", "inputs", 0, "weight")."""

VARIANT = "@"
"""What stands between the name of a merge and the point of its matrix: no name that is written has it."""

SHORT = 12
"""Digits of a digest, a key or a commit that people are shown."""

_DIGEST = re.compile("[0-9a-f]{64}")
_WILD = frozenset("*?[")
_NUMBERS = re.compile(r"(\d+)")
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,9})?")
_NODE = re.compile(r"[A-Za-z0-9_.-]+")
LONGEST_NODE = 200
"""Characters of the name of a source, a merge or a variant."""
_LONGEST_FILE = 255
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def plain(text: str, limit: int = LIMIT) -> str:
    """Return `text` with unprintable characters escaped and what exceeds `limit` cut."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in cut)


def is_node_name(name: str) -> bool:
    """Tell whether `name` may name a source or a merge, and its output: letters, digits, `-`, `_`, `.`, at most 200 of them."""
    return len(name) <= LONGEST_NODE and _NODE.fullmatch(name) is not None and name.strip(".") != ""


def is_glob(text: str) -> bool:
    """Tell whether a text may mean several names."""
    return not _WILD.isdisjoint(text)


def is_meant(name: str, pattern: str) -> bool:
    """Tell whether a name or a glob means a merge: as it is called, or of a variant as its sweep is called."""
    return fnmatchcase(name, pattern) or (VARIANT in name and fnmatchcase(name.partition(VARIANT)[0], pattern))


def is_file_name(text: str) -> bool:
    """Tell whether a text is the name of a file in a directory that somebody else describes: no path, and nothing that cannot be shown."""
    return 0 < len(text) <= _LONGEST_FILE and text.isprintable() and "/" not in text and text not in (".", "..")


def short(text: str) -> str:
    """Return a text with what people are shown of the digests and keys in it; JSON documents have all."""
    return _DIGEST.sub(lambda found: found[0][:SHORT], text)


def is_device(name: str) -> bool:
    """Tell whether `--device` may say so, wherever it is."""
    return _DEVICE.fullmatch(name) is not None


def dotted(path: KeyPath) -> str:
    """Write a key path as the user would: merge.skills.inputs[0].weight."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


@lru_cache(maxsize=1 << 16)
def natural(name: str) -> tuple[int | str, ...]:
    """Order names so that layers.2 comes before layers.10.

    Text and numbers take turns, text first, so that two names are compared text with text and number with number.
    """
    parts: list[int | str] = list(_NUMBERS.split(name))
    parts[1::2] = map(int, parts[1::2])
    return tuple(parts)


def parse_size(text: str) -> int:
    """Read "5GB", "512 MiB" or "1000" as bytes.

    Raises:
        ValueError: if the text is no size or the size is not positive.

    """
    match = _SIZE.fullmatch(text)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError(f"`{text}` is not a size")
    from decimal import Decimal

    size = int(Decimal(match[1]) * _UNITS[match[2].upper()])
    if not 0 < size < 1 << 63:
        raise ValueError(f"`{text}` is not a size from 1 byte to 8 EiB")
    return size


def real(path: Path) -> Path:
    """Return a path without links; where they lead in circles, as far as they lead."""
    return Path(os.path.realpath(path))


def portable(location: str) -> str:
    """Return where a model comes from as others may see it: of a path that starts from the root or from a home, the end alone."""
    return f"…/{Path(location).name}" if location.startswith(("/", "~", "file:")) or "/../" in f"/{location}/" else location


def human_bytes(count: int) -> str:
    """Write bytes for people: 3.1 GB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"

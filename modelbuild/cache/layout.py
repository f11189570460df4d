"""Where things stand in a cache directory."""

from __future__ import annotations

import json
import re
from pathlib import Path

PACKS = "packs"
INDEX = "index"
STAGING = "staging"
STAMPS = "stamps"
CONVERTED = "converted"
"""What pickles became."""

TAG = """\
Signature: 8a477f597d28d172789f06886806bc55
# This directory holds modelbuild's cache.  Losing it loses nothing but time.
# For the tag see https://bford.info/cachedir/
"""
"""What backup programs look for: they leave a directory out that holds this in CACHEDIR.TAG."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    """Tell whether `text` is 64 hexadecimal digits: whatever is not never becomes part of a path."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def parse_json(text: str | bytes) -> Json:
    """Read JSON of unknown origin; None where it is none."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def write_json(value: object) -> str:
    """Write JSON in the one way the cache does: no spaces, tuples as arrays, plain ASCII.

    Raises:
        ValueError: for nan and inf, which JSON does not have.

    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def prepare(directory: Path) -> None:
    """Make the cache directory and mark it as one.

    A directory that was empty is also hidden from git; one that holds anything, such as a README, is somebody's own.
    """
    if (directory / "CACHEDIR.TAG").exists():
        return
    from modelbuild import files

    files.make_directory(directory)
    empty = not any(directory.iterdir())
    if empty:
        files.replace_file(directory / ".gitignore", b"*\n")
    files.replace_file(directory / "CACHEDIR.TAG", TAG.encode())

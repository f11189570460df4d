"""Local sources: a directory with safetensors files, sharded or not, or a single file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from modelbuild.checkpoint.header import TensorInfo, read_header
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.sources.checkpoint import CARRIED, Checkpoint, read_checkpoint, read_json


class LocalFolder(Struct, frozen=True):
    """A directory, or as much of it as is meant: `only` is the file that is a model by itself, or ""."""

    directory: Path
    only: str = ""

    @property
    def place(self) -> str:
        """The path."""
        return str(self.directory / self.only)

    def names(self) -> tuple[str, ...]:
        """Return the names of its files, sorted."""
        return (self.only,) if self.only else tuple(sorted(entry.name for entry in self.directory.iterdir() if entry.is_file()))

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return self.directory / name

    def astray(self, name: str) -> str:
        """Return where a file really lies that is a link out of the directory, or ""."""
        return "" if self.only else astray(self.directory, name)

    def header(self, name: str) -> tuple[TensorInfo, ...]:
        """Read the header of a weight file."""
        return read_header(self.path(name))

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON object."""
        return read_json(self.path(name))


def astray(directory: Path, name: str) -> str:
    """Return where a file of a directory really lies that is a link out of it, or "".

    The hub's own cache is made of links: those of a snapshot lead to the blobs of its repository, and are followed.
    """
    path = directory / name
    if not path.is_symlink():
        return ""
    real, home = Path(os.path.realpath(path)), Path(os.path.realpath(directory))
    places = (home, home.parents[1] / "blobs") if home.parent.name == "snapshots" else (home,)
    return "" if any(place in real.parents for place in places) else str(real)


def open_local(name: str, path: Path, carried: Sequence[str] = CARRIED) -> Checkpoint:
    """Open the checkpoint at `path`, reading headers and config.json only; `carried` files belong to it.

    Raises:
        ModelbuildError: exit 5 where something is missing or malformed, 8 where only pickles are there.

    """
    if path.is_dir():
        return read_checkpoint(name, LocalFolder(path), carried)
    if path.is_file():
        return read_checkpoint(name, LocalFolder(path.parent, path.name), carried)
    raise ModelbuildError(
        Problem(f"source `{name}` is missing", facts=(f"nothing is at {path}",), hint="correct `from`, or put the model there"),
        Exit.SOURCE,
    )

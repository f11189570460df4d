"""Documents written where the user asks: pictures, reports, traces."""

from __future__ import annotations

import os
from pathlib import Path

from modelbuild import files
from modelbuild.errors import Exit, ModelbuildError, Problem


def write(path: Path, text: str) -> None:
    """Write a document whole, in place of what a file of that name held.

    Raises:
        ModelbuildError: as `refuse_nowhere`.

    """
    refuse_nowhere(path)
    files.write_atomic(path, text.encode("utf-8", "replace") + b"\n")


def refuse_nowhere(path: Path) -> None:
    """Refuse a path that no file can be written to, before any work is done.

    Raises:
        ModelbuildError: exit 2 if its directory is not there, or a directory has its name; 6 if nothing may be made there.

    """
    if path.is_dir():
        raise ModelbuildError(Problem(f"`{path}` is a directory", hint="name a file in it"), Exit.USAGE)
    if not path.parent.is_dir():
        raise ModelbuildError(Problem(f"there is no directory `{path.parent}`", hint="make it, or name another file"), Exit.USAGE)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        problem = Problem(f"`{path}` cannot be written", facts=(f"nothing may be made in {path.parent}",), hint="name another file")
        raise ModelbuildError(problem, Exit.LOCAL_IO)

"""What leaves a mark where it is run: pickles, modules and templates."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

CANARY = "ran"


class Bomb:
    """A pickle that makes a directory when it is loaded."""

    def __init__(self, path: Path) -> None:
        """Make `path`."""
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


def pickled(root: Path) -> bytes:
    """Return a pickle that leaves its mark in `root`."""
    return pickle.dumps(Bomb(root / CANARY))


def module(root: Path) -> str:
    """Return a module that leaves its mark in `root`."""
    return f"import os\nos.mkdir({str(root / CANARY)!r})\n"


def template(root: Path) -> str:
    """Return a chat template that leaves its mark in `root`, where a careless program renders it."""
    return "{{ cycler.__init__.__globals__.os.mkdir('" + str(root / CANARY) + "') }}"


def ran(root: Path) -> bool:
    """Tell whether anything was run."""
    return (root / CANARY).exists()

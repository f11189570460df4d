"""mergekit in a virtual environment of its own: made on demand, asked from a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
REQUIREMENTS, CONSTRAINTS = HERE / "requirements.txt", HERE / "constraints.txt"

PROMPT = ".venv-mergekit"
STAMP = "installed.txt"
"""Holds the requirements an environment was completed with: half an environment has none, an old one others."""


def ensure(home: Path) -> Path:
    """Return `home`, a virtual environment holding mergekit; create or renew it if it is not one yet.

    Runs that arrive together wait for the first of them.
    """
    wanted = REQUIREMENTS.read_text() + CONSTRAINTS.read_text()
    stamp = home / STAMP
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        if not stamp.is_file() or stamp.read_text() != wanted:
            run([sys.executable, "-m", "venv", "--clear", "--prompt", PROMPT, str(home)])
            (home / ".gitignore").write_text("*\n")
            run([str(home / "bin" / "python"), "-m", "pip", "install", "-c", str(CONSTRAINTS), "-r", str(REQUIREMENTS)])
            stamp.write_text(wanted)
    return home


def merge(home: Path, configs: Mapping[str, Mapping[str, Any]], asked: Path) -> None:
    """Do merges with the mergekit of `home`, all in one process: configs by the directory to write; `asked` is written to tell them."""
    asked.write_text(json.dumps(configs, indent=1))
    run([str(home / "bin" / "python"), str(HERE / "many.py"), str(asked)], HF_HUB_OFFLINE="1")


def tried(home: Path, configs: Mapping[str, Mapping[str, Any]], asked: Path, wanted: int) -> dict[str, str]:
    """Do merges as `merge` does until so many are done; return what was said of those that were refused, by directory."""
    asked.write_text(json.dumps(configs, indent=1))
    told = run([str(home / "bin" / "python"), str(HERE / "many.py"), str(asked), str(wanted)], HF_HUB_OFFLINE="1")
    refused: dict[str, str] = json.loads(told.splitlines()[-1])
    return refused


def run(command: Sequence[str], *, cwd: Path | None = None, **variables: str) -> str:
    """Run `command` as a process that knows nothing of this one's Python, and return what it printed.

    Raises:
        RuntimeError: it failed; the message ends with what it said last.

    """
    ours = {"PYTHONPATH", "PYTHONHOME", "MODELBUILD_CACHE"}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | variables
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-4000:]
        msg = f"exit code {done.returncode} of: {' '.join(command)}\n{said}"
        raise RuntimeError(msg)
    return done.stdout


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock on `directory` itself: `venv --clear` empties it and would take a lock file along."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

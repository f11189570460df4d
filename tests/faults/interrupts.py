"""A build that is interrupted by a signal, on a disk that may be slow."""

from __future__ import annotations

import contextlib
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path

from modelbuild.cli import main
from modelbuild.files import Operation
from tests.faults.doors import Delay, put
from tests.faults.kills import recovered
from tests.faults.scenes import Ran, Scene, old_project, remove, strays
from tests.faults.warm import join, start


@dataclass(frozen=True)
class Interrupted:
    """What came of a signal: the seconds until the process was gone, how it ended, and what was wrong."""

    seconds: float
    ran: Ran
    left: tuple[str, ...]
    wrong: str


def at(scene: Scene, number: int, kind: str, slow: float, after: float) -> Interrupted:
    """Send a signal to a build whose operations of one kind are slow."""
    root = scene.place / f"interrupted-{os.getpid()}"
    old_project(root)
    reading, writing = os.pipe()
    words = scene.place / f"said-{os.getpid()}"
    words.touch()
    started = start(_slow, root, words, kind, slow, writing)
    os.close(writing)
    os.read(reading, 1)  # the first operation of the kind is about to happen
    time.sleep(after)
    sent = time.perf_counter()
    os.kill(started[0], number)
    ended = join(started)
    seconds = time.perf_counter() - sent
    os.close(reading)
    said = words.read_text()
    words.unlink()
    left = tuple(strays(root))
    wrong = scene.wrong(root, "old", "new") or recovered(scene, root)
    remove(root)
    code = ended.value if ended.code == 0 else ended.code
    return Interrupted(seconds, Ran(code, said), left, wrong)


class _Said(io.StringIO):
    """What is said, in a file too: a process that ends with a thread behind it hands nothing over."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, text: str) -> int:
        with self._path.open("a") as file:
            return file.write(text)


class _Slow(Delay):
    """Lets operations of one kind take longer, and says when the first is met."""

    def __init__(self, kind: str, seconds: float, ready: int) -> None:
        super().__init__(kind, seconds)
        self._waited, self._ready = kind, ready

    def before(self, operation: Operation) -> int:
        if operation.kind == self._waited:
            os.write(self._ready, b"!")
        return super().before(operation)


def _slow(root: Path, said: Path, kind: str, slow: float, ready: int) -> int:
    put(_Slow(kind, slow, ready))
    code = 0
    with contextlib.redirect_stderr(_Said(said)):
        try:
            main(["build", "-C", str(root), "-j", "2"])
        except SystemExit as end:
            code = int(end.code or 0)
    return code

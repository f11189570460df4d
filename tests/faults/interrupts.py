"""A build that is interrupted by a signal, on a disk that may be slow."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from tests.faults.doors import Delay, put
from tests.faults.kills import recovered
from tests.faults.scenes import Ran, Scene, build, old_project, remove, strays
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
    started = start(_slow, root, kind, slow, writing)
    os.close(writing)
    os.read(reading, 1)  # the first operation of the kind is about to happen
    time.sleep(after)
    sent = time.perf_counter()
    os.kill(started[0], number)
    ended = join(started)
    seconds = time.perf_counter() - sent
    os.close(reading)
    # A program that leaves a thread behind ends its process before its words can be handed over: they are in a file.
    said = (root / "said").read_text()
    (root / "said").unlink()
    left = tuple(strays(root))
    wrong = scene.wrong(root, "old", "new") or recovered(scene, root)
    remove(root)
    code = ended.value.code if ended.code == 0 and isinstance(ended.value, Ran) else ended.code
    return Interrupted(seconds, Ran(code, said), left, wrong)


def _slow(root, kind: str, slow: float, ready: int) -> Ran:
    import sys

    class Slow(Delay):
        def before(self, operation):
            if operation.kind == kind:
                os.write(ready, b"!")
            return super().before(operation)

    put(Slow(kind, slow))
    said = (root / "said").open("w", buffering=1)

    class Both:
        encoding = "utf-8"

        def write(self, text):
            return said.write(text)

        def flush(self):
            said.flush()

        def isatty(self):
            return False

    import contextlib

    with contextlib.redirect_stderr(Both()):  # type: ignore[type-var]
        try:
            from modelbuild.cli import main

            main(["build", "-C", str(root), "-j", "2"])
        except SystemExit as end:
            return Ran(int(end.code or 0), "")
    sys.exit(1)



"""A build that is interrupted by a signal, on a disk that may be slow."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelbuild.cli import main
from modelbuild.files import Operation
from tests.faults.doors import Delay, put
from tests.faults.exports import CONVERTED
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


def at(scene: Scene, number: int, kind: str, slow: float, after: float, where: str = "") -> Interrupted:
    """Send a signal to a build whose operations of one kind are slow, on paths that hold `where`."""
    root = scene.place / f"interrupted-{os.getpid()}"
    old_project(root, scene.kind)
    reading, writing = os.pipe()
    words = scene.place / f"said-{os.getpid()}"
    words.touch()
    started = start(_slow, root, words, kind, slow, writing, where)
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
    left = tuple(strays(root, scene.kind.outputs))
    wrong = scene.wrong(root, "old", "new") or recovered(scene, root)
    remove(root)
    code = ended.value if ended.code == 0 else ended.code
    return Interrupted(seconds, Ran(code, said), left, wrong)


def converting(scene: Scene, number: int, deaf: bool) -> Interrupted:
    """Send a signal to a build whose converter, and what that started, would run for minutes; with `deaf` it ignores SIGTERM."""
    root = scene.place / f"converting-{os.getpid()}"
    old_project(root, scene.kind)
    words, pids, script = (scene.place / f"{name}-{os.getpid()}" for name in ("said", "pids", "script"))
    words.touch()
    script.write_text(
        f'{"trap : TERM" if deaf else ""}\necho half > "$2"\nsleep 300 &\necho $! $$ > {pids}.new\nmv {pids}.new {pids}\nwait\nsleep 300\n'
    )
    stuck = f'format = "command"\nconverter = ["sh", "../{script.name}", "{{model}}", "{{out}}"]'
    (root / "Modelfile.toml").write_text(scene.kind.new.replace(CONVERTED, stuck))
    started = start(_slow, root, words, "none", 0.0, -1, "")
    _until(pids.exists, 30.0)
    sent = time.perf_counter()
    os.kill(started[0], number)
    ended = join(started)
    seconds = time.perf_counter() - sent
    alive = pids.read_text().split()
    _until(lambda: not any(map(is_alive, alive)), 2.0)  # who is killed has to be given a processor to die
    alive = [pid for pid in alive if is_alive(pid)]
    left, said = tuple(strays(root, scene.kind.outputs)), words.read_text()
    (root / "Modelfile.toml").write_text(scene.kind.new)
    wrong = f"alive: {alive}" if alive else scene.wrong(root, "old", "new") or recovered(scene, root)
    remove(root)
    for path in (words, pids, script):
        path.unlink()
    return Interrupted(seconds, Ran(ended.value if ended.code == 0 else ended.code, said), left, wrong)


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while not true() and time.perf_counter() < end:
        time.sleep(0.01)


def is_alive(pid: str) -> bool:
    """Tell whether a process runs: one that has ended and that nobody asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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

    def __init__(self, kind: str, seconds: float, ready: int, where: str) -> None:
        super().__init__(kind, seconds, where)
        self._ready = ready

    def before(self, operation: Operation) -> int:
        if self.is_slow(operation):
            os.write(self._ready, b"!")
        return super().before(operation)


def _slow(root: Path, said: Path, kind: str, slow: float, ready: int, where: str) -> int:
    put(_Slow(kind, slow, ready, where))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored, here as by the program
    code = 0
    with contextlib.redirect_stderr(_Said(said)):
        try:
            main(["build", "--no-check", "-C", str(root), "-j", "2"])
        except SystemExit as end:
            code = int(end.code or 0)
    return code

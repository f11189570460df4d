"""One build killed: what stands then, and what the next build makes of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.doors import Kill, Log, put
from tests.faults.scenes import Kind, Ran, Scene, Way, age, build, new_project, old_project, program, remove, strays
from tests.faults.warm import copied, join, start

Lay = Callable[[Path, Kind], None]
LAYS: dict[str, Lay] = {"over an old output": old_project, "from nothing": new_project}
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""


@dataclass(frozen=True)
class Killed:
    """What came of a kill: whether it came in time, what stood then, and what was wrong, "" where nothing was."""

    dead: bool
    stood: tuple[str, ...]
    wrong: str


def count(scene: Scene, lay: str, way: Way) -> list[str]:
    """Return the kinds of all operations of a build, in order."""
    return [kind for kind, _ in listed(scene, lay, way)]


def listed(scene: Scene, lay: str, way: Way) -> list[tuple[str, str]]:
    """Return kind and path of all operations of a build, in order."""
    root = scene.place / "count"
    LAYS[lay](root, scene.kind)
    found: list[tuple[str, str]] = copied(_listed, root, way).value
    remove(root)
    return found


def _listed(root: Path, way: Way) -> list[tuple[str, str]]:
    log = Log()
    put(log)
    ran = build(root, way)
    assert ran.code == 0, ran
    return [(operation.kind, str(operation.path.relative_to(root))) for operation in log.met]


def _dying(root: Path, way: Way, last: int, half: bool) -> Ran:
    put(Kill(last, half=half))
    return build(root, way)


def at(scene: Scene, lay: str, way: Way, points: tuple[int, ...], *, half: bool = False) -> Killed:
    """Kill a build at an operation, the next at another, and so on; then let one end."""
    adopt()
    root = scene.place / f"{'-'.join(map(str, points))}-{os.getpid()}"
    LAYS[lay](root, scene.kind)
    dead, stood, wrong = True, (), ""
    for last in points:
        ended = copied(_dying, root, way, last, half)
        dead = dead and ended.code == -signal.SIGKILL
        if ended.code not in {0, -signal.SIGKILL} or (ended.value and ended.value.code):
            wrong = wrong or f"not killed: {ended}"
        stood = tuple(scene.state(root).values())
        wrong = wrong or _standing(scene, root, lay, way)
    outlived()
    wrong = wrong or recovered(scene, root, way)
    remove(root)
    return Killed(dead, stood, wrong)


def _standing(scene: Scene, root: Path, lay: str, way: Way) -> str:
    """Say what is wrong with what stands right after a kill."""
    return scene.wrong(root, "old", "new", lacking=scene.lacking(lay, way))


def adopt() -> None:
    """Become the parent of what outlives a build that is killed below this process: `outlived` waits for it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no children of others")


def outlived() -> None:
    """Wait for a converter that outlives the build that was killed, and goes on writing under its hidden name.

    It is known as a child: by what it is called it is not, for while a program takes another's place it is called nothing.  One that
    never ends is ended with the job.
    """
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def recovered(scene: Scene, root: Path, way: Way = "exchange") -> str:
    """Build again, undisturbed, and say what is wrong then."""
    outputs = scene.kind.outputs
    age(root, outputs)
    ran = copied(build, root, way).value
    if ran is None or ran.code != 0:
        return f"the next build ended so: {ran}"
    wrong = scene.wrong(root, "new")
    if wrong:
        return wrong
    if (root / "Modelfile.lock").read_bytes() != (scene.place / "new" / "Modelfile.lock").read_bytes():
        return "another lock"
    if any(not name.startswith("cache/") for name in strays(root, outputs)):
        # A build that found the outputs made already looked at nothing beside them: the next that makes one sweeps.
        (root / "Modelfile.toml").write_text(scene.kind.old)
        ran = copied(build, root, way).value
    collected = copied(program, root, "cache", "gc").value if strays(root, outputs) else ran
    if collected is None or collected.code != 0:
        return f"the collection ended so: {collected}"
    left = strays(root, outputs)
    return f"left behind: {left}" if left else ""


def from_outside(scene: Scene, way: Way, seconds: float, jobs: int) -> Killed:
    """Kill a build after so many seconds, whatever it is doing."""
    adopt()
    root = scene.place / f"outside-{os.getpid()}"
    old_project(root, scene.kind)
    started = start(build, root, way, jobs)
    time.sleep(seconds)
    os.kill(started[0], signal.SIGKILL)
    ended = join(started)
    stood = tuple(scene.state(root).values())
    wrong = _standing(scene, root, "over an old output", way)
    outlived()
    wrong = wrong or recovered(scene, root, way)
    remove(root)
    return Killed(ended.code == -signal.SIGKILL, stood, wrong)


def seconds(scene: Scene) -> float:
    """Return how long the build takes that is killed from outside."""
    root = scene.place / "timed"
    old_project(root, scene.kind)
    started = time.perf_counter()
    copied(build, root, "exchange", 2)
    taken = time.perf_counter() - started
    remove(root)
    return taken


def at_half(scene: Scene, way: Way, point: int) -> Killed:
    """Kill a build when half of a write is in its file."""
    return at(scene, "over an old output", way, (point,), half=True)

"""One operation that fails, or all from it on: what the program says, what stands, and what the next build makes of it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from tests.faults.doors import SHORT, Fail, put
from tests.faults.kills import LAYS, recovered
from tests.faults.scenes import Ran, Scene, Way, build, remove
from tests.faults.warm import copied

CODES = {
    "ENOSPC": errno.ENOSPC,
    "EIO": errno.EIO,
    "EACCES": errno.EACCES,
    "EROFS": errno.EROFS,
    "EMFILE": errno.EMFILE,
    "short write": SHORT,
}


@dataclass(frozen=True)
class Failed:
    """What came of a fault: the exit code, what stood, the kind of operation that met it, and what was wrong."""

    code: int
    stood: tuple[str, ...]
    kind: str
    wrong: str


def at(scene: Scene, lay: str, way: Way, point: int, name: str, sticky: bool) -> Failed:
    """Let an operation fail, then build again without a fault."""
    root = scene.place / f"{point}-{name}-{sticky}-{os.getpid()}".replace(" ", "-")
    LAYS[lay](root, scene.kind)
    ended = copied(_failing, root, way, point, CODES[name], sticky)
    stood = tuple(scene.state(root).values())
    ran, kind = ended.value if ended.code == 0 else (Ran(ended.code, str(ended.value)), "")
    wrong = ""
    if ended.code != 0 or ran.code not in {0, 6} or "Traceback" in ran.err:
        wrong = f"it ended so: {ran}"
    elif ran.code == 6 and not ran.err.splitlines()[-3:][0].startswith(("error:", "  ", "hint:")) and "error:" not in ran.err:
        wrong = f"nothing was said: {ran}"
    elif name == "short write" and ran.code:
        wrong = f"a short write is no error: {ran}"
    wrong = wrong or (scene.wrong(root, "new", "old", lacking=scene.lacking(lay, way)) if ran.code else scene.wrong(root, "new"))
    wrong = wrong or recovered(scene, root, way)
    remove(root)
    return Failed(ran.code, stood, kind, f"{name} at {point} ({kind}), sticky {sticky}, {lay}, {way}: {wrong}" if wrong else "")


def _failing(root, way: Way, point: int, code: int, sticky: bool) -> tuple[Ran, str]:
    door = Fail(point, code, sticky=sticky)
    put(door)
    return build(root, way), door.met

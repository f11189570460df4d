"""A disk that is full: a small file system in memory, mounted for one process alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelbuild.usecases import preflight
from tests.faults.kills import recovered
from tests.faults.mounts import REMOUNT, mount, mount_own, used
from tests.faults.scenes import Ran, Scene, build, old_project, strays
from tests.faults.warm import copied

LARGE = 64 << 20
LAYERS = 30
"""Of the models: enough for what packs need to be more than what the index does."""


@dataclass(frozen=True)
class Filled:
    """What came of a build on a disk with so many bytes free."""

    free: int
    code: int
    foreseen: bool
    kept: int
    wrong: str


def can_mount() -> bool:
    """Tell whether this process may have mounts of its own."""
    return copied(mount_own, Path("/mnt"), 1 << 20).code == 0


def growth(scene: Scene) -> int:
    """Return how many bytes more a build needs than there were before."""
    root = _disk(scene)
    before = used(root.parent)
    largest = before

    def look(*_: object) -> None:
        nonlocal largest
        largest = max(largest, used(root.parent))

    from modelbuild import files
    from modelbuild.files.door import Door

    door = Door()
    door.after = look  # type: ignore[method-assign]
    files.door.current = door
    assert build(root).code == 0
    return largest - before


def _disk(scene: Scene) -> Path:
    place = scene.place / "full"
    place.mkdir(exist_ok=True)
    mount_own(place, LARGE)
    scene.kind.sources(place, LAYERS)
    root = place / "project"
    old_project(root, scene.kind)
    return root


def with_free(scene: Scene, free: int, foresight: bool) -> Filled:
    """Build with so much free space, then with enough; without `foresight` nobody looks beforehand."""
    root = _disk(scene)
    mount(root.parent, used(root.parent) + free, REMOUNT)
    ran: Ran = copied(_build, root, foresight).value
    left = [name for name in strays(root, scene.kind.outputs) if not name.startswith("cache/staging/")]
    kept = len(list((root / "cache").glob("staging/*/*.journal")))
    wrong = "" if ran and ran.code in scene.kind.codes and "Traceback" not in ran.err else f"it ended so: {ran}"
    wrong = wrong or scene.wrong(root, "new", *(("old",) if ran.code else ()))
    wrong = wrong or (f"left behind: {left}" if left else "")
    mount(root.parent, LARGE, REMOUNT)
    wrong = wrong or recovered(scene, root)
    return Filled(
        free,
        ran.code if ran else -1,
        "there is too little space for this build" in ran.err,
        kept,
        f"{free} bytes free: {wrong}" if wrong else "",
    )


def _build(root: Path, foresight: bool) -> Ran:
    if not foresight:
        preflight.free_space = lambda _: 1 << 60
    return build(root)

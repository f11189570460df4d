"""A disk that is full: a small file system in memory, mounted for one process alone."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from modelbuild.build import preflight
from tests.faults.kills import recovered
from tests.faults.scenes import Ran, Scene, build, make_sources, old_project, strays
from tests.faults.warm import copied

NEW_MOUNTS = 0x20000
PRIVATE, RECURSIVE, REMOUNT = 1 << 18, 1 << 14, 32
LARGE = 64 << 20


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
    return copied(_mount_own, Path("/mnt"), 1 << 20).code == 0


def _mount_own(path: Path, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS) or libc.mount(None, b"/", None, PRIVATE | RECURSIVE, None):
        raise OSError(ctypes.get_errno(), "no mounts of its own")
    _mount(path, size, 0)


def _mount(path: Path, size: int, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", flags, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "no mount")


def used(path: Path) -> int:
    """Return the bytes in use on a file system."""
    status = os.statvfs(path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


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
    _mount_own(place, LARGE)
    make_sources(place)
    root = place / "project"
    old_project(root)
    return root


def with_free(scene: Scene, free: int, foresight: bool) -> Filled:
    """Build with so much free space, then with enough; without `foresight` nobody looks beforehand."""
    root = _disk(scene)
    _mount(root.parent, used(root.parent) + free, REMOUNT)
    ran: Ran = copied(_build, root, foresight).value
    left = [name for name in strays(root) if not name.startswith("cache/staging/")]
    kept = len(list((root / "cache").glob("staging/*/*.journal")))
    wrong = "" if ran and ran.code in {0, 6} and "Traceback" not in ran.err else f"it ended so: {ran}"
    wrong = wrong or scene.wrong(root, "new", *(("old",) if ran.code else ()))
    wrong = wrong or (f"left behind: {left}" if left else "")
    _mount(root.parent, LARGE, REMOUNT)
    wrong = wrong or recovered(scene, root)
    return Filled(free, ran.code if ran else -1, "free" in ran.err and "needed" in ran.err, kept, f"{free} bytes free: {wrong}" if wrong else "")


def _build(root: Path, foresight: bool) -> Ran:
    if not foresight:
        preflight.free_space = lambda _: 1 << 60
    return build(root)

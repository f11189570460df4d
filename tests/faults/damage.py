"""Files of the cache and of outputs damaged: what is noticed, and what the next build makes of it."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

from tests.faults.scenes import NEW, OLD, OUTPUTS, Ran, Scene, build, old_project, program, remove, strays

KINDS = ("bit flip", "truncation", "zeros", "swap", "removal")


@dataclass(frozen=True)
class Damaged:
    """What came of damage: what was said, and what was wrong."""

    noticed: bool
    wrong: str


PATTERNS = {
    "pack": "cache/packs/*.safetensors",
    "file beside a pack": "cache/packs/*.json",
    "index": "cache/index/*",
    "stamp": "cache/stamps/*",
    "output": "out/*/*",
}
"""The files that are damaged."""


def listed(root: Path, what: str) -> list[Path]:
    """Return the files of one kind, in order."""
    return sorted(path for path in root.glob(PATTERNS[what]) if path.is_file())


def targets(scene: Scene) -> dict[str, list[str]]:
    """Return the names of the files of a project that was built, by kind."""
    root = scene.place / "whole"
    old_project(root)
    found = {what: [path.name for path in listed(root, what)] for what in PATTERNS}
    remove(root)
    return found


def damage(path: Path, other: Path, kind: str, drawn: random.Random) -> None:
    """Damage a file in place: whoever has another name for it sees it too."""
    data = bytearray(path.read_bytes())
    match kind:
        case "bit flip":
            if data:
                data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
        case "truncation":
            del data[drawn.randrange(max(1, len(data))) :]
        case "zeros":
            start = drawn.randrange(max(1, len(data)))
            end = min(len(data), start + drawn.choice((1, 64, 4096, 1 << 20)))
            data[start:end] = bytes(end - start)
        case "swap":
            data[:] = other.read_bytes()
        case "removal":
            path.unlink()
            return
    path.chmod(0o644)
    path.write_bytes(data)


def one(scene: Scene, what: str, which: int, other: int, kind: str, seed: int, silent: bool) -> Damaged:
    """Damage a file of a project, by its place among those of its kind, and build: the same again, and after an edit.

    Args:
        scene: where.
        what: the kind of file: a key of `PATTERNS`.
        which: its number among those.
        other: a number for another, for a swap.
        kind: what is done to it.
        seed: draws the bytes.
        silent: leave the time of its last change as it was, as a disk does that rots; then somebody has to look.

    """
    root = scene.place / f"damage-{os.getpid()}"
    old_project(root)
    (root / "Modelfile.toml").write_text(OLD)
    assert build(root).code == 0
    files = listed(root, what)
    path, name = files[which % len(files)], f"{what} {which}"
    before = path.stat()
    damage(path, files[other % len(files)], kind, random.Random(seed))
    if silent and path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    ran = [build(root)] if not silent else _looked(root)
    wrong = next((f"it ended so: {one}" for one in ran if one.code not in {0, 4} or "Traceback" in one.err), "")
    wrong = wrong or scene.wrong(root, "old")
    for output in OUTPUTS:
        remove(root / "out" / output)
    (root / "Modelfile.toml").write_text(NEW)
    again = build(root)
    wrong = wrong or ("" if again.code == 0 else f"the next build ended so: {again}") or scene.wrong(root, "new")
    program(root, "cache", "gc")
    wrong = wrong or ("" if not (left := strays(root)) else f"left behind: {left}")
    remove(root)
    return Damaged(any(one.code for one in ran), f"{kind} of {name}, silent {silent}, seed {seed}: {wrong}" if wrong else "")


def _looked(root: Path) -> list[Ran]:
    """Look at everything, and do what was said to heal it."""
    ran = [program(root, "cache", "verify"), build(root), program(root, "verify", "--full")]
    if ran[-1].code == 4:
        ran += [build_anew(root)]
    return ran


def build_anew(root: Path) -> Ran:
    """Run every action, and write every output."""
    for output in OUTPUTS:
        program(root, "clean", output)
    return build(root)

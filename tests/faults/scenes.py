"""A small build to do things to: an old output, an edit, a new output, and what both are when nothing happens."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelbuild.cache import stattable
from modelbuild.cli import main
from modelbuild.files import operations
from modelbuild.usecases import stamp
from modelbuild.usecases.placing import receipt_path
from tests.support.checkpoints import random_tensors, write_model
from tests.support.projects import DIAMOND

OUTPUTS = ("release", "other")
TEXT = (
    DIAMOND.replace('from = "', 'from = "../sources/')
    + """\
[merge.other]
method = "linear"
inputs = [{ model = "base", weight = 0.5 }, { model = "code", weight = WEIGHT }]
keep = false
output = { shard_size = "8kB", dtype = "float32" }
"""
)
OLD = TEXT.replace("WEIGHT", "0.5")
NEW = TEXT.replace("WEIGHT", "0.25").replace('"math", density = 0.5', '"math", density = 0.25').replace("keep = false", "keep = false", 1)
"""Another parameter for both outputs."""

Hashes = Mapping[str, bytes]
"""The files of an output, by name."""

Way = str
"""How outputs are put in place: "exchange", "two renames" where names cannot be exchanged, "copies" where nothing can be linked."""

WAYS: Sequence[Way] = ("exchange", "two renames", "copies")


@dataclass(frozen=True)
class Ran:
    """How a run of the program ended: 0 to 143, and what it said."""

    code: int
    err: str


@dataclass(frozen=True)
class Kind:
    """What is built.

    Args:
        outputs: what stands below `out` then.
        old: the Modelfile before the edit.
        new: the Modelfile after it.
        sources: writes models of so many layers below a directory.
        files: the outputs that are files before and after: a file takes the place of a file in one rename, whatever the way.
        codes: how a build may end for which there is too little room.

    """

    outputs: Sequence[str]
    old: str
    new: str
    sources: Callable[[Path, int], None]
    files: Sequence[str] = ()
    codes: Sequence[int] = (0, 6)


@dataclass(frozen=True)
class Scene:
    """Where a build is to be tried, and what comes of it when nothing happens.

    Args:
        place: holds the sources and, for each try, a project.
        old: the outputs before the edit.
        new: the outputs after it.
        kind: what they are.

    """

    place: Path
    old: Mapping[str, Hashes]
    new: Mapping[str, Hashes]
    kind: Kind

    def state(self, root: Path) -> dict[str, str]:
        """Say of each output what stands at its name: old, new, absent, or what is wrong."""
        found = {}
        for name in self.kind.outputs:
            now = contents(root / "out" / name)
            known = {"old": self.old[name], "new": self.new[name], "absent": {}}
            found[name] = next((word for word, expected in known.items() if now == expected), f"bad: {sorted(now)}")
        return found

    def wrong(self, root: Path, *allowed: str, lacking: Sequence[str] = ()) -> str:
        """Return what is wrong with the outputs, "" where each is one of the `allowed`, or not there and one of the `lacking`."""
        state = self.state(root)
        good = all(word in allowed or (word == "absent" and name in lacking) for name, word in state.items())
        return "" if good else f"{state}, not {allowed}"

    def lacking(self, lay: str, way: Way) -> Sequence[str]:
        """Return the outputs that may be missing when a build ends early."""
        if lay == "from nothing":
            return self.kind.outputs
        return () if way == "exchange" else [name for name in self.kind.outputs if name not in self.kind.files]


def contents(directory: Path) -> Hashes:
    """Read an output, of a file by itself as that of the name ""; {} where there is none."""
    if directory.is_file():
        return {"": directory.read_bytes()}
    if not directory.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def program(root: Path, *arguments: str) -> Ran:
    """Run the program in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([*arguments[:1], "-C", str(root), *arguments[1:]])
        except SystemExit as end:
            code = int(end.code or 0)
    return Ran(code, err.getvalue())


def build(root: Path, way: Way = "exchange", jobs: int = 1) -> Ran:
    """Build a project."""
    go(way)
    return program(root, "build", "--no-check", "-j", str(jobs))


def go(way: Way) -> None:
    """Make this process put outputs in place in one way."""
    if way != "exchange":
        operations.exchange = lambda *_: False
    if way == "copies":
        os.link = _refuse


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def open_project(root: Path, text: str) -> None:
    """Write a project's Modelfile, and a lock to be completed: that of the first project here."""
    root.mkdir(parents=True)
    (root / "Modelfile.toml").write_text(text)
    lock = root / "Modelfile.lock"
    if (known := root.parent / "old" / lock.name).exists():
        lock.write_bytes(known.read_bytes())
    else:
        assert program(root, "lock").code == 0


def make_sources(place: Path, layers: int = 3) -> None:
    """Write a family of three."""
    base = random_tensors(0, layers)
    write_model(place / "sources" / "base", base)
    for seed, name in enumerate(("code", "math"), 1):
        write_model(place / "sources" / name, random_tensors(seed, layers, near=base))


MERGES = Kind(OUTPUTS, OLD, NEW, make_sources)
"""Two targets, one of which is not kept and of several files."""


def old_project(root: Path, kind: Kind = MERGES) -> None:
    """Build the old outputs and edit the Modelfile."""
    open_project(root, kind.old)
    ran = build(root)
    assert ran.code == 0, ran
    (root / "Modelfile.toml").write_text(kind.new)


def new_project(root: Path, kind: Kind = MERGES) -> None:
    """Write the edited Modelfile where nothing was built."""
    open_project(root, kind.new)


def trust_young_files() -> None:
    """Let files be trusted that are younger than two seconds: nothing changes the sources here."""
    stattable.RACY_NS = 0
    stamp._RACY_NS = 0


def warm_up(place: Path, kind: Kind = MERGES) -> None:
    """Import and compile what builds need."""
    trust_young_files()
    kind.sources(place, 3)
    old_project(place / "warm", kind)
    for arguments in (("build",), ("build", "-n"), ("cache", "verify"), ("cache", "gc"), ("verify",), ("status",)):
        program(place / "warm", *arguments)


def prepared(place: Path, layers: int = 3, kind: Kind = MERGES) -> Scene:
    """Write the sources, and build old and new outputs with nothing in the way."""
    kind.sources(place, layers)
    outputs = []
    for name, text in (("old", kind.old), ("new", kind.new)):
        open_project(place / name, text)
        ran = build(place / name)
        assert ran.code == 0, ran
        outputs.append({output: contents(place / name / "out" / output) for output in kind.outputs})
    return Scene(place, *outputs, kind)


def strays(root: Path, outputs: Sequence[str] = OUTPUTS) -> list[str]:
    """Return what stands in a project that no build that ended well leaves there."""
    expected = {"Modelfile.toml", "Modelfile.lock", "cache", "out"}
    found = [path for path in root.iterdir() if path.name not in expected]
    out = root / "out"
    beside = {f"{name}.environment.json" for name in outputs} | {
        receipt_path(out / name).name for name in outputs if (out / name).is_file()
    }
    found += [path for path in out.iterdir() if path.name not in {*outputs, *beside}] if out.is_dir() else []
    cache = root / "cache"
    known = {"packs", "index", "staging", "stamps", "CACHEDIR.TAG", ".gitignore"}
    found += [path for path in cache.iterdir() if path.name not in known] if cache.is_dir() else []
    for name, suffixes in (("packs", {".safetensors", ".json"}), ("stamps", {".json"}), ("staging", set[str]())):
        found += [path for path in (cache / name).glob("*") if path.suffix not in suffixes or path.name.startswith(".")]
    return sorted(str(path.relative_to(root)) for path in found)


def age(root: Path, outputs: Sequence[str] = OUTPUTS) -> None:
    """Let what a killed build left be two hours old, so that nobody takes it for that of one that runs."""
    then = time.time() - 7200
    for name in strays(root, outputs):
        for path in (root / name, *(root / name).rglob("*")):
            os.utime(path, (then, then), follow_symlinks=False)


def snapshot(root: Path) -> dict[str, int]:
    """Return when each file and directory below a project was last changed."""
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def remove(root: Path) -> None:
    """Remove a project."""
    shutil.rmtree(root, ignore_errors=True)


def say(*words: object) -> None:
    """Tell whoever debugs."""
    print(*words, file=sys.__stderr__, flush=True)

"""A build whose power is lost: the states that its disk may be in, and what the next build makes of each."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelbuild.files import Operation
from tests.faults.disk import Disk
from tests.faults.doors import Log, put
from tests.faults.kills import LAYS, recovered
from tests.faults.scenes import Scene, Way, go, remove
from tests.faults.warm import copied

CHOICES = ("dropped", "kept", "names", "torn", "reordered")


@dataclass(frozen=True)
class Logged:
    """A build's operations, and after how many of them each output was said to be written, and all to be done."""

    operations: tuple[Operation, ...]
    said: dict[str, int]


class _Listening(io.StringIO):
    """Notes when something is said."""

    def __init__(self, log: Log, outputs: Sequence[str]) -> None:
        super().__init__()
        self._log, self._outputs, self.said = log, outputs, dict[str, int]()

    def write(self, text: str) -> int:
        for name in self._outputs:
            if text.startswith("wrote ") and f"out/{name} " in text:
                self.said[name] = len(self._log.done)
        if text.startswith("built "):
            self.said["all"] = len(self._log.done)
        return super().write(text)


class _Witness(Log):
    """Keeps what other programs wrote, too: as what nobody waited for, when it is met."""

    def before(self, operation: Operation) -> int:
        known = {done.path for done in self.done}
        if operation.kind == "sync" and operation.path not in known:
            self.after(Operation("create", operation.path))
            self.after(Operation("write", operation.path, data=operation.path.read_bytes()))
        return super().before(operation)


def logged(root: Path, way: Way, outputs: Sequence[str]) -> Logged:
    """Build with a log."""
    from modelbuild.cli import main

    go(way)
    log = _Witness()
    put(log)
    sys.stderr = listening = _Listening(log, outputs)
    with contextlib.suppress(SystemExit):
        main(["build", "--no-check", "-C", str(root), "-j", "1"])
    assert {*outputs, "all"} == set(listening.said), listening.getvalue()
    return Logged(tuple(log.done), listening.said)


@dataclass(frozen=True)
class Lost:
    """What came of losses of power: states by what was chosen, what stood in them, and the first that were wrong."""

    states: int
    operations: int
    stood: Counter[str]
    wrong: tuple[str, ...]


def losses(scene: Scene, lay: str, way: Way, seed: int, states: int) -> Lost:
    """Log a build, and lose its power in so many ways."""
    drawn = random.Random(seed)
    root = scene.place / f"power-{os.getpid()}"
    LAYS[lay](root, scene.kind)
    index, indexes = root / "cache" / "index", scene.place / f"indexes-{os.getpid()}"
    indexes.mkdir()
    if index.exists():
        shutil.copytree(index, indexes / "before")
    disk = Disk(root, index)
    built = copied(logged, root, way, scene.kind.outputs).value
    assert isinstance(built, Logged), built
    shutil.copytree(index, indexes / "after")
    for operation in built.operations:
        disk.do(operation)
    remove(root)
    stood: Counter[str] = Counter()
    wrong: list[str] = []
    for _ in range(states):
        last = _last(built, drawn)
        choice, knows = drawn.choice(CHOICES), drawn.choice(("", "before", "after"))
        disk.write(disk.after(last, choice, drawn))
        if knows and (indexes / knows).exists() and index.parent.exists():
            shutil.copytree(indexes / knows, index)
        found = scene.state(root)
        stood.update(found.values())
        bad = scene.wrong(root, "old", "new", lacking=scene.lacking(lay, way))
        lost = [name for name in scene.kind.outputs if last + 1 >= built.said[name] and found[name] != "new"]
        if (
            last + 1 >= built.said["all"]
            and (root / "Modelfile.lock").read_bytes() != (scene.place / "new" / "Modelfile.lock").read_bytes()
        ):
            lost.append("Modelfile.lock")
        bad = bad or (f"said to be there, and lost: {lost}" if lost else "") or recovered(scene, root)
        if bad:
            wrong.append(f"{lay}, {way}: after {last} of {len(built.operations)}, {choice}, index {knows or 'lost'}: {bad}")
        remove(root)
    remove(indexes)
    return Lost(states, len(built.operations), stood, tuple(wrong))


def _last(built: Logged, drawn: random.Random) -> int:
    """Draw the operation after which power is lost: half of the time near the end, where outputs are put in place."""
    total = len(built.operations)
    first = min(i for i, operation in enumerate(built.operations) if ".modelbuild-" in str(operation.path))
    return drawn.randrange(first, total) if drawn.random() < 0.6 else drawn.randrange(total)

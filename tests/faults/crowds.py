"""Many builds on one cache at once, and a collection beside them."""

from __future__ import annotations

import fcntl
import os
import random
import time
from pathlib import Path

from tests.faults.scenes import OUTPUTS, TEXT, Ran, Scene, build, contents, open_project, program, remove, strays
from tests.faults.warm import copied, join, start

WEIGHTS = ("0.5", "0.25", "0.125")
PROJECTS = 4
"""Each is built by two at once: what they share is not only the cache."""


def text(weight: str) -> str:
    """Return a Modelfile of which both outputs depend on the weight."""
    return TEXT.replace("WEIGHT", weight).replace("value = 0.3", f"value = {weight}")


def clean(scene: Scene) -> dict[str, dict[str, dict[str, bytes]]]:
    """Return what each Modelfile gives, built alone."""
    found = {}
    for weight in WEIGHTS:
        root = scene.place / f"alone-{weight}"
        open_project(root, text(weight))
        assert build(root).code == 0
        found[weight] = {name: dict(contents(root / "out" / name)) for name in OUTPUTS}
        remove(root)
    return found


def rounds(
    scene: Scene, known: dict[str, dict[str, dict[str, bytes]]], count: int, builds: int, locks: bool, collecting: bool, seed: int
) -> list[str]:
    """Let so many builds run at once, round after round, and return what was wrong."""
    drawn = random.Random(seed)
    place = scene.place / f"crowd-{os.getpid()}"
    cache = place / "shared"
    os.environ["MODELBUILD_CACHE"] = str(cache)
    place.mkdir()
    (place / "sources").symlink_to(scene.place / "sources")
    roots = [place / f"project-{i}" for i in range(min(PROJECTS, builds))]
    for root in roots:
        open_project(root, text("0.5"))
    if not locks:
        fcntl.flock = lambda *_: None
    wrong: list[str] = []
    for number in range(count):
        weights = [drawn.choice(WEIGHTS) for _ in roots]
        for root, weight in zip(roots, weights, strict=True):
            (root / "Modelfile.toml").write_text(text(weight))
        running = [start(_late, roots[i % len(roots)], drawn.random() / 20) for i in range(builds)]
        collector = start(_collect, roots[0]) if collecting else None
        for started in running:
            ended = join(started)
            if ended.code or ended.value.code:
                wrong.append(f"round {number}: a build ended so: {ended}")
        if collector:
            (place / "stop").touch()
            ended = join(collector)
            (place / "stop").unlink()
            if ended.code or ended.value:
                wrong.append(f"round {number}: the collection ended so: {ended}")
        for root, weight in zip(roots, weights, strict=True):
            wrong += [f"round {number}: another {name}" for name in OUTPUTS if contents(root / "out" / name) != known[weight][name]]
            left = [name for name in strays(root) if name != "cache"]
            wrong += [f"round {number}: left behind: {left}"] if left else []
    del os.environ["MODELBUILD_CACHE"]
    left = [str(path.relative_to(cache)) for path in cache.rglob("*") if path.suffix == ".tmp" or path.parent.name == "staging"]
    wrong += [f"left behind: {left}"] if left else []
    packs = {path.stem for path in (cache / "packs").iterdir() if path.suffix == ".safetensors"}
    beside = {path.stem for path in (cache / "packs").iterdir() if path.suffix == ".json"}
    wrong += [f"packs that nothing explains: {packs - beside}"] if packs - beside else []
    remove(place)
    return wrong


def _late(root: Path, seconds: float) -> Ran:
    time.sleep(seconds)
    return build(root, jobs=2)


def _collect(root: Path) -> list[str]:
    """Remove every pack that can be removed, again and again."""
    wrong = []
    while not (root.parent / "stop").exists():
        ran = copied(program, root, "cache", "gc", "--max-size", "1B").value
        if ran is None or ran.code:
            wrong.append(str(ran))
    return wrong

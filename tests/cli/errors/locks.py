"""Locks that are not there, not whole, or of something else."""

from __future__ import annotations

import re

from modelbuild import usecases as use_cases
from tests.cli.errors.scene import Case, Scene, Wrong, both, edit, files, sound
from tests.support.checkpoints import random_tensors


def locked(project: Scene) -> None:
    use_cases.lock(project.where)


def built(project: Scene) -> None:
    """Build what is locked, so that the lock has the digests of outputs."""
    use_cases.lock(project.where)
    project.build()


def relocked(pattern: str) -> Wrong:
    """Have the lock say another digest: of what the pattern's group is."""

    def wrong(project: Scene) -> None:
        text = project.where.lock.read_text()
        found = re.search(pattern, text, re.DOTALL)
        assert found
        project.where.lock.write_text(text[: found.start(1)] + "0" * 64 + text[found.end(1) :])

    return wrong


ROOT, FILE = r'\[merge\.release\].*?root = "(\w{64})"', r'\[merge\.release\.files\].*?"config\.json" = .*?(\w{64})'

CASES: dict[str, Case] = {
    "no lock": (sound, "build --locked"),
    "a lock that is not there": (sound, "lock --check"),
    "a lock of another Modelfile": (both(locked, edit(("density = 0.5", "density = 0.6"))), "build --locked"),
    "a source other than locked": (both(locked, lambda project: project.model("code", random_tensors(7, 3))), "build --locked"),
    "a source read elsewhere that is another": (locked, "build --source code=math"),
    "an output other than locked": (both(built, relocked(ROOT)), "build -j 1 --locked --force"),
    "a file of an output other than locked": (both(built, relocked(FILE)), "build -j 1 --locked --force"),
    "a lock that is none": (files({"Modelfile.lock": "{"}), "build"),
    "pins to be moved without asking": (sound, "lock --upgrade --offline"),
}

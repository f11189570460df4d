"""What goes wrong when a build is under way."""

from __future__ import annotations

import errno
import os

from modelbuild.cache import Staging
from modelbuild.engine.engine import Engine
from tests.cli.errors.scene import Case, Scene


def full(project: Scene) -> None:
    """Let the disk be full when the first pack is to be made."""

    def open_pack(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    project.patch.setattr(Staging, "open_pack", open_pack)


def written_to(project: Scene) -> None:
    """Let somebody write to a source as soon as the first of its tensors is merged."""
    run = Engine._run

    def running(self: Engine, *arguments: object) -> None:
        os.utime(project.root / "code/model.safetensors", ns=(0, 0))
        run(self, *arguments)  # type: ignore[arg-type]

    project.patch.setattr(Engine, "_run", running)


CASES: dict[str, Case] = {
    "a disk that is full": (full, "build -j 1"),
    "a source that is written to": (written_to, "build -j 1"),
}

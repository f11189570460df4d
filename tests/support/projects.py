"""A project in a directory of its own, and what a test asks of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Outcome, Where
from tests.support.checkpoints import random_tensors, write_model

DIAMOND = """\
[source.base]
from = "base"
[source.code]
from = "code"
[source.math]
from = "math"
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "code", density = 0.5 }, { model = "math", density = 0.5 }]
[merge.talk]
method = "dare_linear"
base = "base"
inputs = [{ model = "code", density = 0.6, weight = 0.5 }, { model = "math", density = 0.6, weight = 0.5 }]
[merge.blend]
method = "slerp"
inputs = ["skills", "talk"]
t = [{ filter = "mlp", value = 0.3 }, { value = 0.6 }]
[merge.release]
method = "passthrough"
slices = [{ model = "base", layers = [0, 1] }, { model = "blend", layers = [1, 2] }, { model = "base", layers = [2, 3] }]
embed = "blend"
head = "blend"
"""
"""Two task-vector merges, a slerp of them, and slices of that: 3 layers, 30 tensors a model."""


@dataclass(frozen=True)
class Project:
    """A directory with a Modelfile."""

    root: Path

    @property
    def where(self) -> Where:
        return Where(self.root / "Modelfile.toml")

    def write(self, text: str) -> None:
        """Write the Modelfile."""
        (self.root / "Modelfile.toml").write_text(text)

    def edit(self, old: str, new: str) -> None:
        """Replace a piece of the Modelfile that stands there once."""
        text = (self.root / "Modelfile.toml").read_text()
        assert text.count(old) == 1
        self.write(text.replace(old, new))

    def family(self, layers: int = 3, names: Sequence[str] = ("code", "math")) -> None:
        """Write `base` and fine-tunes of it."""
        base = random_tensors(0, layers)
        self.model("base", base)
        for seed, name in enumerate(names, 1):
            self.model(name, random_tensors(seed, layers, near=base))

    def model(self, name: str, tensors: object, **options: object) -> None:
        """Write one model."""
        write_model(self.root / name, tensors, **options)  # type: ignore[arg-type]

    def build(self, *targets: str, overrides: Sequence[str] = (), **options: object) -> Outcome:
        """Build in this process."""
        where = Where(self.root / "Modelfile.toml", overrides=tuple(overrides))
        return use_cases.build(where, targets, Options(**options))  # type: ignore[arg-type]

    def hashes(self, target: str = "release") -> dict[str, str]:
        """sha256 of every file of an output."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((self.root / "out" / target).iterdir())}

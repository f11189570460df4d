"""A project in which something is wrong, and ways to make it so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build.test_broken_modelfiles import SOUND
from tests.support.checkpoints import Tensors, llama_config, random_tensors, write_file
from tests.support.hub import Hub
from tests.support.hubs import hub_and_client
from tests.support.projects import Project


@dataclass(frozen=True)
class Scene(Project):
    """A project with a small family and a sound Modelfile.

    Args:
        patch: what a case replaces in the program; taken back when the case is over.
        served: where the family is as well, in groups that need a hub.

    """

    patch: pytest.MonkeyPatch
    served: Hub | None = None

    @property
    def hub(self) -> Hub:
        assert self.served is not None
        return self.served


Wrong = Callable[[Scene], None]
Case = tuple[Wrong, str]
"""What is wrong, and the command that finds it."""


@contextmanager
def scene(root: Path, *, hub: bool) -> Iterator[Scene]:
    """Write a sound project; with a hub its sources are read from there, and somebody is logged in."""
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        one = Scene(root, patch, stack.enter_context(hub_and_client(root / "home", patch)) if hub else None)
        one.family()
        one.write(SOUND)
        if hub:
            for name in ("base", "code", "math"):
                one.hub.put(f"lab/{name}", root / name)
            one.write(SOUND.replace('from = "', 'from = "hf://lab/'))
            one.hub.store.tokens["hf_writer"] = "write"
            patch.setenv("HF_TOKEN", "hf_writer")
        patch.chdir(root)
        yield one


def sound(project: Scene) -> None:
    """Leave everything as it is."""


def edit(*changes: tuple[str, str]) -> Wrong:
    """Change the sound Modelfile."""

    def wrong(project: Scene) -> None:
        for old, new in changes:
            project.edit(old, new)

    return wrong


def more(text: str) -> Wrong:
    """Add to the Modelfile."""
    return lambda project: project.write(project.where.file.read_text() + text)


def files(texts: Mapping[str, str | bytes]) -> Wrong:
    """Write files."""

    def wrong(project: Scene) -> None:
        for name, text in texts.items():
            path = project.root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    return wrong


def gone(*names: str) -> Wrong:
    """Remove files."""

    def wrong(project: Scene) -> None:
        for name in names:
            (project.root / name).unlink()

    return wrong


def link(name: str, to: str) -> Wrong:
    """Put a link in a file's place."""

    def wrong(project: Scene) -> None:
        (project.root / name).unlink(missing_ok=True)
        (project.root / name).symlink_to(to)

    return wrong


def config(name: str, **changed: object) -> Wrong:
    """Change a model's config.json; what is None is taken out."""

    def wrong(project: Scene) -> None:
        table = {key: value for key, value in {**llama_config(3), **changed}.items() if value is not None}
        (project.root / name / "config.json").write_text(json.dumps(table))

    return wrong


def tensors(name: str, change: Callable[[dict[str, object]], Tensors]) -> Wrong:
    """Write a model whose tensors are others."""
    return lambda project: project.model(name, change(dict(random_tensors(1))))


def lora(name: str, module: str, rows: int, columns: int) -> Wrong:
    """Write an adapter as PEFT does, of rank 2, for one weight."""

    def wrong(project: Scene) -> None:
        at = f"base_model.model.{module}.lora_"
        pair = {f"{at}A.weight": (2, columns), f"{at}B.weight": (rows, 2)}
        values = {tensor: next(iter(random_tensors(0).values())).ravel()[: a * b].reshape(a, b) for tensor, (a, b) in pair.items()}
        write_file(project.root / name / "adapter_model.safetensors", values, "F32")
        (project.root / name / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 4}')

    return wrong


def patched(name: str, value: object) -> Wrong:
    """Replace something of the program by its dotted name."""
    return lambda project: project.patch.setattr(name, value)


def both(*wrongs: Wrong) -> Wrong:
    """Do one after the other."""

    def wrong(project: Scene) -> None:
        for one in wrongs:
            one(project)

    return wrong

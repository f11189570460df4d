"""A first Modelfile, to be changed: a template, filled with the models that are named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from modelbuild import files
from modelbuild.checkpoint.sections import depths_of
from modelbuild.errors import ModelbuildError, Problem, did_you_mean
from modelbuild.mergekit.models import is_repository
from modelbuild.usecases import templates
from modelbuild.usecases.templates import TEMPLATES

_DEPTH = 32
"""Layers of a model that is not here to be looked at."""


def init(file: Path, template: str, models: Sequence[str], root: Path) -> Path:
    """See `modelbuild.usecases.init`."""
    text = starter(template, models, root, file.parent)
    files.make_directory(file.parent, durable=True)
    try:
        files.write_new(file, text.encode())
    except FileExistsError:
        problem = Problem(f"there is a Modelfile already at `{file}`", hint="choose another directory, or another name with --file")
        raise ModelbuildError(problem) from None
    files.sync_directory(file.parent)
    return file


def starter(template: str, models: Sequence[str], root: Path, home: Path) -> str:
    """Return the text of a Modelfile.

    Args:
        template: one of TEMPLATES.
        models: where they are, the base first; none for names to be changed.
        root: the directory that relative paths in `models` start from.
        home: the directory of the Modelfile.

    Raises:
        ModelbuildError: exit 2 if there is no such template, or it takes another number of models.

    """
    if template not in TEMPLATES:
        facts = tuple(f"{name}: {what}" for name, (what, *_) in TEMPLATES.items())
        raise ModelbuildError(Problem(f"no template is called `{template}`", facts=facts, hint=did_you_mean(template, TEMPLATES)))
    _, write, (low, high) = TEMPLATES[template]
    if models and not low <= len(models) <= high:
        count = str(low) if low == high else f"{low} to {high}"
        raise ModelbuildError(Problem(f"the template `{template}` takes {count} models, not {len(models)}", hint="the base comes first"))
    named = models or [f"models/{name}" for name in ("base", "code", "math", "chat")[: max(low, min(high, 3))]]
    first = root / named[0]
    return write({name: _address(one, root, home) for name, one in zip(_names(named), named, strict=True)}, _depth(first) or _DEPTH)


def _names(models: Sequence[str]) -> list[str]:
    """Return names for models: the last word of where each is."""
    names: list[str] = []
    for one in models:
        path = one.removeprefix("hf://").partition("@")[0] if one.startswith("hf://") else one
        word = re.sub(r"[^A-Za-z0-9_-]+", "-", path.rstrip("/").rpartition("/")[2].removesuffix(".safetensors")).strip("-") or "model"
        taken = (*names, *templates.MERGES)
        names.append(next(name for name in (word, *(f"{word}-{i}" for i in range(2, 99))) if name not in taken))
    return names


def _address(model: str, root: Path, home: Path) -> str:
    """Return what a Modelfile calls a model: a directory as seen from it, or a repository on the hub."""
    if model.startswith("hf://"):
        return model
    if is_repository(model) and not model.startswith("models/") and not (root / model).exists():
        return f"hf://{model}"
    return model if Path(model).is_absolute() or root.resolve() == home.resolve() else os.path.relpath(root / model, home)


def _depth(model: Path) -> int:
    """Return how many layers a model has, or 0 where that cannot be told."""
    try:
        found = depths_of(json.loads((model / "config.json").read_bytes()))
    except (OSError, ValueError, AttributeError):
        return 0
    return max(found, default=0)

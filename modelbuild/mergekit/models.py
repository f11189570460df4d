"""Models as mergekit spells them, as sources: a repository or a directory, at a revision, with LoRA adapters."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from itertools import chain, count
from pathlib import Path
from typing import Any

from msgspec import Struct

from modelbuild.mergekit.ledger import At, Ledger, Placed

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class Reference(Struct, frozen=True):
    """A repository or a directory, at a revision or ""."""

    path: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.path}@{self.revision}" if self.revision else self.path


def is_repository(text: str) -> bool:
    """Tell whether a text looks like one of the hub: `org/name`."""
    return _REPOSITORY.fullmatch(text) is not None


class Models:
    """Gives each model that is named a source, unless a document makes it.

    Args:
        ledger: what is said.
        root: the directory that relative paths start from, as mergekit reads them.
        home: the directory of the Modelfile in the making.
        made: names of documents, which go before models of that name.
        taken: names that no source may have.

    """

    def __init__(self, ledger: Ledger, root: Path, home: Path, made: Collection[str], taken: Collection[str]) -> None:
        """Start without sources."""
        self.ledger, self.root, self.home, self.made, self.taken = ledger, root, home, made, taken
        self.sources: dict[str, dict[str, Any]] = {}
        self._names: dict[tuple[Reference, ...], str] = {}

    def name(self, at: At) -> Placed:
        """Return what a model is called, and make a source of it unless a document makes it."""
        model, *adapters = self._spelled(at) or [Reference("")]
        if not model.path:
            self.ledger.say(at, "a model is missing", hint="name a repository or a directory")
            return Placed("", at)
        if model.path in self.made:
            if adapters or model.revision:
                what = "adapters" if adapters else "a revision"
                self.ledger.say(at, f"`{model.path}` is a merge, and {what} go with models that are there already", hint="remove them")
            return Placed(model.path, at)
        key = (model, *adapters)
        if key not in self._names:
            self._names[key] = self._free("-".join(_last(one.path) for one in key))
            source: dict[str, Any] = {"from": Placed(self._address(at, model), at)}
            if adapters:
                source["adapters"] = [{"from": Placed(self._address(at, one), at)} for one in adapters]
            self.sources[self._names[key]] = source
        return Placed(self._names[key], at)

    def _free(self, wanted: str) -> str:
        """Return a name that nothing has yet."""
        taken = {*self.taken, *self.sources}
        wanted = wanted.strip(".-") or "model"
        return next(one for one in chain([wanted], (f"{wanted}-{i}" for i in count(2))) if one not in taken)

    def _address(self, at: At, model: Reference) -> str:
        """Return what a Modelfile calls a model: a directory if there is one, else `org/name` on the hub."""
        if model.path.startswith("hf://"):
            return str(model)
        if is_repository(model.path) and not (self.root / model.path).exists():
            return f"hf://{model}"
        if model.revision:
            self.ledger.note(at, f"`{model.path}` is a directory, which has no revision: `@{model.revision}` is left out")
        if Path(model.path).is_absolute() or self.root.resolve() == self.home.resolve():
            return model.path
        return os.path.relpath(self.root / model.path, self.home)

    def _spelled(self, at: At) -> list[Reference]:
        """Return a model and its adapters."""
        if isinstance(at.value, dict):
            told = self.ledger.table(at, ("model", "lora", "override_architecture"))
            if told["override_architecture"]:
                self.ledger.note(told["override_architecture"], "`override_architecture` is left out: tensors go by their names here")
            found = [self._path(told["model"]), *([self._path(told["lora"])] if told["lora"] else [])]
            return [one for one in found if one.path]
        return [self._read(at, one) for one in str(at.value or "").split("+") if one.strip()]

    def _path(self, at: At) -> Reference:
        """Read what stands under `model` or `lora`: text, or a table with path and revision."""
        if isinstance(at.value, dict):
            told = self.ledger.table(at, ("path", "revision"))
            return Reference(str(told["path"].value or "").strip(), str(told["revision"].value or ""))
        return self._read(at, str(at.value or ""))

    def _read(self, at: At, text: str) -> Reference:
        path, *revisions = text.strip().split("@")
        if len(revisions) > 1:
            self.ledger.say(at, f"`{text}` has more than one `@`", hint="write `{ path: …, revision: … }` for `model`")
        return Reference(path, "@".join(revisions))


def _last(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.rstrip("/").rpartition("/")[2]).strip(".-")

"""mergekit configurations read as a Modelfile: what is wrong is told by their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelbuild.errors import Place, Problem
from modelbuild.mergekit.ledger import At
from modelbuild.mergekit.translate import imported
from modelbuild.modelfile.edits import edit
from modelbuild.modelfile.locate import Edit, Locator
from modelbuild.modelfile.model import Modelfile
from modelbuild.modelfile.parse import validated
from modelbuild.names import KeyPath


class Origins(Locator):
    """Places of key paths of a Modelfile that stands nowhere: those in the configurations that it comes from.

    Args:
        label: what errors call it.
        origins: where values come from, by key path.
        edits: what `--set` changed.

    """

    def __init__(self, label: str, origins: Mapping[KeyPath, At], edits: Sequence[Edit] = ()) -> None:
        super().__init__(label, "", edits)
        self.origins = origins

    def place(self, path: KeyPath) -> Place:
        """Return where the value at `path`, or what it stands in, comes from."""
        return self.origins[path[: self._known(path)]].place

    key_place = place

    def _known(self, path: KeyPath) -> int:
        return next(end for end in range(len(path), -1, -1) if path[:end] in self.origins)

    def _located(self, what: str, path: KeyPath, *, key: bool, facts: tuple[str, ...], hint: str) -> Problem:  # noqa: ARG002 - both are one place
        return self.origins[path[: self._known(path)]].problem(what, facts, hint)


def read(paths: Sequence[Path], root: Path, overrides: Sequence[str] = ()) -> Modelfile:
    """Read configurations as one Modelfile.

    Args:
        paths: the files, as the user gave them.
        root: the directory that relative paths in them start from.
        overrides: what `--set` asks for, in the words of a Modelfile.

    Raises:
        ModelbuildError: with everything that has no meaning here, by line.

    """
    found = imported(paths, root, root)
    document: dict[str, Any] = {**found.document}
    edits, problems = edit(document, overrides)
    return validated(document, paths[0], Origins(str(paths[0]), found.origins, edits), {}, problems, found.notes)

"""Where a project is: what the command line and the environment say, and what can be told of its cache without reading it whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomli


@dataclass(frozen=True, slots=True)
class Where:
    """A project, as the command line names it.

    Args:
        file: the Modelfile.
        cache: what MODELBUILD_CACHE says, or "".
        overrides: `--set` assignments, in order.
        offline: make no request to a hub.
        mirrors: (source, path) of `--source`: where to read a source from instead, the same bytes.

    """

    file: Path = Path("Modelfile.toml")
    cache: str = ""
    overrides: tuple[str, ...] = ()
    offline: bool = False
    mirrors: tuple[tuple[str, str], ...] = ()

    @property
    def root(self) -> Path:
        """The directory that relative paths in the Modelfile start from."""
        return self.file.parent

    @property
    def lock(self) -> Path:
        """The lock: NAME.lock beside NAME.toml."""
        return self.file.with_suffix(".lock")

    def cache_directory(self, setting: str) -> Path:
        """Return where the cache is, given `[cache] path`; the environment goes first."""
        return Path(self.cache) if self.cache else self.root / (setting or "cache")


def cache_setting(where: Where, text: bytes) -> str:
    """Return `[cache] path` of a Modelfile that may not be sound: "" where it cannot be told."""
    try:
        document = tomli.loads(text.decode("utf-8-sig"))
        if where.overrides or "${" in str(document.get("cache")):
            from modelbuild.modelfile.edits import edit
            from modelbuild.modelfile.locate import Locator
            from modelbuild.modelfile.variables import substitute

            edits, _ = edit(document, where.overrides)
            document, _ = substitute(document, Locator(str(where.file), text.decode("utf-8-sig"), edits))
    except (ValueError, RecursionError):
        return ""
    match document:
        case {"cache": {"path": str(path)}} if "\0" not in path:
            return path
    return ""

"""Where a project is: what the command line and the environment say, and what can be told of its cache without reading it whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from msgspec import Struct

if TYPE_CHECKING:
    from modelbuild.modelfile.model import Modelfile

File = str | os.PathLike[str]

Words = str | Sequence[str]
"""Names of merges and groups, and globs; one alone may stand without a list."""

MODELFILE = "Modelfile.toml"
CONFIGURATIONS = (".yml", ".yaml")
"""How the names of mergekit's files end."""


class Where(Struct, frozen=True):
    """A project, as the command line names it.

    Args:
        file: the Modelfile; or a configuration of mergekit, if its name ends like one.
        cache: what MODELBUILD_CACHE says, or "".
        overrides: `--set` assignments, in order.
        offline: make no request to a hub.
        mirrors: (source, path) of `--source`: where to read a source from instead, the same bytes.
        more: further configurations, of one graph with the first.
        directory: of configurations, where relative paths in them start from, and cache and outputs are.

    """

    file: Path = Path(MODELFILE)
    cache: str = ""
    overrides: tuple[str, ...] = ()
    offline: bool = False
    mirrors: tuple[tuple[str, str], ...] = ()
    more: tuple[Path, ...] = ()
    directory: Path = Path()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read."""
        return (self.file, *self.more)

    @property
    def imports(self) -> bool:
        """Whether it is told by configurations of mergekit."""
        return is_configuration(self.file.name)

    @property
    def root(self) -> Path:
        """The directory that relative paths start from."""
        return self.directory if self.imports else self.file.parent

    @property
    def lock(self) -> Path:
        """The lock: NAME.lock beside NAME.toml."""
        return self.file.with_suffix(".lock")

    def cache_directory(self, setting: str) -> Path:
        """Return where the cache is, given `[cache] path`; the environment goes first."""
        return Path(self.cache) if self.cache else self.root / (setting or "cache")


class Place(TypedDict, total=False):
    """What goes with a Modelfile, each of it optional.

    Args:
        set: values by key path, {"vars.blend": 0.5}: edits of the Modelfile in memory.
        cache: the directory of the cache; without it `[cache] path` says, else `cache/` beside the Modelfile.
        sources: where to read sources from instead, the same bytes, by name.
        offline: whether to make no request to a hub.

    """

    set: Mapping[str, object]
    cache: File
    sources: Mapping[str, File]
    offline: bool


def at(file: Where | File, place: Place) -> Where:
    """Return the project at a Modelfile; one that is named already stays as it is.

    Raises:
        TypeError: if something is said of the place that it has no word for.

    """
    unknown = place.keys() - Place.__annotations__.keys()
    if unknown or (place and isinstance(file, Where)):
        raise TypeError(f"there is no argument `{min(unknown or place)}` here")
    if isinstance(file, Where):
        return file
    edits = tuple(f"{key}={_toml(value)}" for key, value in place.get("set", {}).items())
    mirrors = tuple((name, str(path)) for name, path in place.get("sources", {}).items())
    return Where(Path(file), os.fspath(place.get("cache", "")), edits, place.get("offline", False), mirrors)


def words(targets: Words) -> tuple[str, ...]:
    """Return targets as a tuple."""
    return (targets,) if isinstance(targets, str) else tuple(targets)


def _toml(value: object) -> str:
    """Write a value as TOML.

    Raises:
        TypeError: if TOML has no such value.

    """
    match value:
        case bool():
            return str(value).lower()
        case int():
            return repr(int(value))
        case float():
            return repr(float(value))  # numpy's floats among them, whose own repr is no number
        case str() | os.PathLike():
            return _text(os.fspath(value))
        case Mapping():
            return f"{{ {', '.join(f'{_text(str(key))} = {_toml(one)}' for key, one in value.items())} }}"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
    raise TypeError(f"a Modelfile has no value like {value!r}")


def _text(text: str) -> str:
    """Write a string as TOML: as JSON has it, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def is_configuration(name: str) -> bool:
    """Tell whether a file is mergekit's, by its name."""
    return name.lower().endswith(CONFIGURATIONS)


def sorted_out(words: Sequence[str], *, file: Path | None) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return which files the words of a command line name, and which targets.

    Words that end in .yml or .yaml are configurations of mergekit, which are read in place of the Modelfile; with a file that
    is named by `--file` all words are targets.

    Args:
        words: what stands after the command.
        file: what `--file` says, or None.

    """
    if file is not None:
        return (file,), tuple(words)
    named = tuple(Path(word) for word in words if is_configuration(word))
    return named or (Path(MODELFILE),), tuple(word for word in words if not is_configuration(word))


def modelfile_at(where: Where) -> Modelfile:
    """Read the Modelfile, or what is to be read as one.

    Raises:
        ModelbuildError: if there is none, or anything in it is wrong.

    """
    if where.imports:
        from modelbuild import mergekit

        return mergekit.read(where.files, where.root, where.overrides)
    from modelbuild.modelfile.parse import read

    return read(where.file, where.overrides)


def cache_setting(where: Where, text: bytes) -> str:
    """Return `[cache] path` of a Modelfile that may not be sound: "" where it cannot be told."""
    if b"cache" not in text and b"\\" not in text and not any("cache" in override for override in where.overrides):
        return ""  # most say nothing of it, and reading TOML takes as long as all else that a null build does
    import tomli

    try:
        document = {} if where.imports else tomli.loads(text.decode("utf-8-sig"))
        if where.overrides or "${" in str(document.get("cache")):
            from modelbuild.modelfile.edits import edit
            from modelbuild.modelfile.locate import Locator
            from modelbuild.modelfile.variables import substitute

            edits, _ = edit(document, where.overrides)
            document, _ = substitute(document, Locator(str(where.file), "" if where.imports else text.decode("utf-8-sig"), edits))
    except (ValueError, RecursionError):
        return ""
    match document:
        case {"cache": {"path": str(path)}} if "\0" not in path:
            return path
    return ""

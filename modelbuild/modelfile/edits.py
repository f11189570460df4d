"""`--set KEY=VALUE`: edits of the parsed document, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

import tomli

from modelbuild.errors import Problem
from modelbuild.modelfile.locate import Edit
from modelbuild.modelfile.scan import LostError, key_path, value_end
from modelbuild.modelfile.shown import kind, nearest, plain
from modelbuild.names import VARIANT, KeyPath, dotted

_USAGE = "write `--set KEY=VALUE`, for instance `--set merge.blend.t=0.5` or `--set merge.blend.inputs[0].weight=2`"


class EditError(ValueError):
    """An edit that cannot be made; carries the words for the problem."""

    def __init__(self, what: str, hint: str = "") -> None:
        """Carry the sentence after `error:` and one way out."""
        self.what = what
        self.hint = hint
        super().__init__(what)


def edit(document: dict[str, Any], texts: Sequence[str]) -> tuple[tuple[Edit, ...], list[Problem]]:
    """Apply edits to `document` in order, later ones over earlier ones; return those made and the problems of the rest."""
    made, problems = [], []
    for text in texts:
        try:
            parts, value = read_edit(text)
            made.append(Edit(put(document, parts, value), text))
        except EditError as error:
            problems.append(Problem(error.what, facts=(f"from: `--set {plain(text)}`",), hint=error.hint))
    return tuple(made), problems


def read_edit(text: str) -> tuple[KeyPath, Any]:
    """Split `merge.blend.t=0.5` into a key path and a value.

    The key is a dotted TOML key, in which `[0]` counts the entries of a list.  The value is a TOML value; what is none is
    the string as it stands, and so are dates, which no key of a Modelfile takes.

    Raises:
        EditError: if there is no key, or no `=` after it.

    """
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise EditError("`--set` takes UTF-8 text", _USAGE)
    try:
        path, at = key_path(text)
    except LostError:
        raise EditError("`--set` needs a key before the `=`", _USAGE) from None
    if not text.startswith("=", at):
        raise EditError(f"`--set` needs `=` right after the key `{plain(text[:at].strip())}`", _USAGE)
    return path, _value(text[at + 1 :].strip())


def _value(text: str) -> Any:
    try:
        if value_end(text, 0) != len(text):  # `1 # one` is a line of TOML, not a value
            return text
        value = tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # LostError, TOMLDecodeError, or a number too long for Python
        return text
    return text if isinstance(value, datetime | date | time) else value


def put(document: dict[str, Any], parts: KeyPath, value: object) -> KeyPath:
    """Set one key; return its path with positions as numbers.

    An entry of a list of models may be named by its model: inputs.code.weight.

    Raises:
        EditError: if there is no such place.

    """
    here: Any = document
    path: KeyPath = ()
    for index, part in enumerate(parts):
        key = _step(here, part, path)
        if isinstance(here, dict) and key not in here and index + 1 < len(parts):
            if not all(isinstance(rest, str) for rest in parts[index + 1 :]):
                raise EditError(f"there is no list at `{plain(dotted((*path, key)))}`")
            if path in (("merge",), ("source",)):
                raise EditError(*_no_node(path[0], str(key), here))
            here[key] = {}
        path = (*path, key)
        if index + 1 == len(parts):
            break
        if isinstance(here[key], str) and _is_input(path):
            here[key] = {"model": here[key]}  # a bare name is { model = NAME }, and so can take a parameter
        here = here[key]
    here[path[-1]] = value
    return path


def _step(here: object, part: str | int, path: KeyPath) -> str | int:
    """Return `part` as a key of `here`, which stands at `path`."""
    name = plain(dotted(path))
    if isinstance(here, list):
        if isinstance(part, str) and not (part.isascii() and part.isdecimal() and len(part) < 10):
            of_model = [i for i, entry in enumerate(here) if part in (entry, entry.get("model") if isinstance(entry, dict) else entry)]
            if len(of_model) == 1:
                return of_model[0]
            raise EditError(f"`{name}` is a list: `{plain(part)}` is no position in it", f"say which entry: `{name}[0]`")
        position = int(part)
        if position >= len(here):
            raise EditError(f"`{name}` has no entry [{position}]", f"it has {len(here)}, counted from [0]")
        return position
    if not isinstance(here, dict):
        raise EditError(f"`{name}` is {kind(here)}, and `{plain(str(part))}` cannot be set inside it")
    if isinstance(part, int):
        raise EditError(f"`{name}` is a table: it has no entry [{part}]")
    return part


def _no_node(section: str | int, name: str, known: dict[str, Any]) -> tuple[str, str]:
    """Return the words for an edit inside a node that is not there: made anew, it would be a misspelling that nobody reads."""
    dotted_name = next((other for other in known if other.startswith(f"{name}.")), None)
    if dotted_name:
        return f"no {section} is called `{plain(name)}`", f'a name with a dot stands in quotes: `{section}."{plain(dotted_name)}"`'
    sweep = name.partition(VARIANT)[0]
    if VARIANT in name and sweep in known:
        matrix = plain(dotted((section, sweep, "matrix")))
        return f"`{plain(name)}` is made by the matrix of `{plain(sweep)}`", f"set that: `--set {matrix}.KEY=[VALUE]`"
    whole = f"to add one, set it whole: `--set {section}.{plain(name)}={{ … }}`"
    return f"no {section} is called `{plain(name)}`", nearest(name, known) or whole


def _is_input(path: KeyPath) -> bool:
    return len(path) == 4 and path[0] == "merge" and path[2] == "inputs" and isinstance(path[3], int)

"""Licences of the models that a merge is made of: what their cards say, side by side.

Nothing here judges what may be done with a merge.  It repeats what the cards say, and says where their terms are known to pull apart.
Names are those of the hub: https://huggingface.co/docs/hub/repositories-licenses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from modelbuild.errors import ModelbuildError
from modelbuild.names import plain
from modelbuild.reading import SMALL, read_small
from modelbuild.sources.checkpoint import Checkpoint, Folder
from modelbuild.sources.hub import HubFolder

UNKNOWN = "unknown"

_CARD = "README.md"
_LONGEST_HEAD = 100_000
_HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")

_FREE = frozenset({
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "zlib", "cc0-1.0", "unlicense", "wtfpl",
    "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "afl-3.0", "artistic-2.0", "bsl-1.0", "ms-pl", "ncsa", "pddl", "postgresql",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "ecl-2.0",
})  # fmt: skip
"""Ask for a notice, and leave the terms of what is made of it open."""

_ALIKE = re.compile(r"(a?gpl|lgpl|osl|eupl|epl|mpl|cc-by(-nc)?-sa|odbl|cdla-sharing|gfdl)\b")
"""Ask that what is made of it be under the same terms."""

_COPYLEFT = re.compile(r"a?gpl")
_NONCOMMERCIAL = re.compile(r"(^|[-_ ])(nc|noncommercial|non-commercial|research)\b")
_NO_DERIVATIVES = re.compile(r"-nd\b")


class Joined(Struct, frozen=True):
    """What the licences of several models come to.

    Args:
        licence: the one that all have; "other" of several, or where it is no identifier; "unknown" where that of any is.
        name: where it is "other": their names, joined.
        warnings: what is not known, and where terms pull apart.

    """

    licence: str
    name: str = ""
    warnings: tuple[str, ...] = ()


def licence_in(text: str) -> str:
    """Return the licence that the front matter of a model card names, or ""."""
    import yaml

    match = _HEAD.match(text[:_LONGEST_HEAD])
    if not match or "&" in match[1]:  # no alias is needed there, and some make very much of little
        return ""
    try:
        table: Any = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return ""
    if not isinstance(table, Mapping):
        return ""
    named = table.get("license")
    if named in (None, "", "other"):
        named = table.get("license_name") or named
    listed = named if isinstance(named, list) else [named]
    return " and ".join(plain(one.strip().lower()) for one in listed if isinstance(one, str) and one.strip())


def licence_of(checkpoint: Checkpoint) -> str:
    """Return the licence that a model names, as its text has it, or "".

    It is that of the model's own card, here or on the hub, else what config.json says.
    """
    said = checkpoint.config.get("license")
    return licence_in(_card_of(checkpoint.folder)) or (plain(said.strip().lower()) if isinstance(said, str) else "")


def _card_of(folder: Folder) -> str:
    """Return the text of a model's card; "" where there is none, or it cannot be read."""
    try:
        if _CARD not in folder.names():
            return ""
        if isinstance(folder, HubFolder):
            if folder.listing[_CARD].size > SMALL:
                return ""
            folder.fetch(_CARD)
        elif folder.astray(_CARD):
            return ""
        return read_small(folder.path(_CARD)).decode("utf-8-sig", "replace")
    except (OSError, ModelbuildError):
        return ""


def joined(licences: Sequence[tuple[str, str]]) -> Joined:
    """Join the licences of models.

    Args:
        licences: the name of each model, and its licence or "".

    """
    held: dict[str, list[str]] = {}
    for model, licence in licences:
        held.setdefault(licence if licence not in ("", UNKNOWN) else "", []).append(model)
    unknown, known = held.pop("", []), held
    warnings = [f"the licence of {_all(unknown)} is not known: no model card here names it"] if unknown else []
    warnings += _conflicts(known)
    if unknown or not known:
        return Joined(UNKNOWN, "", tuple(warnings))
    only = next(iter(known))
    if len(known) == 1 and _IDENTIFIER.fullmatch(only):
        return Joined(only, "", tuple(warnings))
    return Joined("other", " and ".join(sorted(known)), tuple(warnings))


def _conflicts(known: Mapping[str, Sequence[str]]) -> list[str]:
    """Say where terms are known to pull apart, each with the models and their licences."""
    told = []
    for licence, models in known.items():
        if _NO_DERIVATIVES.search(licence):
            told.append(f"{_all(models)}: {licence} does not let works made of it be shared")
    bound = [licence for licence in known if licence not in _FREE]
    alike = [licence for licence in bound if _ALIKE.match(licence)]
    own = [licence for licence in bound if licence not in alike]
    if len(known) > 1 and len(alike) > 1:
        told.append(f"each of {_with(alike, known)} asks that what is made of it be under its own terms")
    if len(bound) > 1 and own:
        told.append(f"{_with(bound, known)} have terms of their own, which may not go together")
    strong = [licence for licence in known if _COPYLEFT.match(licence)]
    closed = [licence for licence in known if _NONCOMMERCIAL.search(licence)]
    if strong and closed:
        told.append(f"{_with(closed, known)} does not allow commercial use, and {_with(strong, known)} allows no such condition")
    elif closed and len(known) > 1:
        told.append(f"{_with(closed, known)} does not allow commercial use; the others are not so bound")
    return told


def _all(models: Sequence[str]) -> str:
    return ", ".join(f"`{model}`" for model in models)


def _with(licences: Sequence[str], known: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{licence} ({_all(known[licence])})" for licence in licences)

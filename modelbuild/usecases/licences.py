"""What a model says of its licence: in the front matter of its README.md, else in config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelbuild.names import plain
from modelbuild.reading import SMALL, read_small

README = "README.md"

_FRONT = re.compile(r"\A\ufeff?---\s*\n(.*?)^---\s*$", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(license|license_name)[ \t]*:[ \t]*[\"']?(.*?)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)
_ITEM = re.compile(r"^license[ \t]*:[ \t]*\n[ \t]*-[ \t]*[\"']?([^\s\"']+)", re.MULTILINE)


def licence_of(readme: Path, config: Mapping[str, Any]) -> str:
    """Return a model's licence as it names it, "" where it names none.

    Args:
        readme: where its README.md is, or would be.
        config: its config.json.

    """
    try:
        text = read_small(readme, SMALL).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        text = ""
    front = _FRONT.match(text)
    found = {name: value for name, value in _ENTRY.findall(front[1]) if value} if front else {}
    if front and "license" not in found and (item := _ITEM.search(front[1])):
        found["license"] = item[1]
    own, kind = found.get("license_name", ""), found.get("license", "")
    named = own if own and kind in ("", "other") else kind
    said = config.get("license")
    return plain(named or (said if isinstance(said, str) else ""))

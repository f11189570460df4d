"""TOML as a person would write it: a table for each model, an inline table on a line for each entry of a list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH = 120
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_DOLLAR = "dollar"
"""The variable that keeps `${` in a text from being one."""


def written(document: Mapping[str, Any], comments: Sequence[str]) -> str:
    """Write sources and merges under some comments."""
    blocks = ["".join(f"# {line}\n" for line in comments)] if comments else []
    for section in ("source", "merge"):
        for name, table in document[section].items():
            lines = [f"{_key(key)} = {_value(value, '')}\n" for key, value in table.items()]
            blocks.append(f"[{section}.{_key(name)}]\n" + "".join(lines))
    if any(f"${{{_DOLLAR}}}" in block for block in blocks[bool(comments) :]):
        blocks.insert(bool(comments), f'[vars]\n{_DOLLAR} = "$"\n')
    return "\n".join(blocks)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, indent: str) -> str:
    flat = _flat(value)
    if isinstance(value, dict) and len(indent) + len(flat) < _WIDTH:
        return flat
    if len(indent) + len(flat) <= _WIDTH - 20 and not (isinstance(value, list) and any(isinstance(entry, dict) for entry in value)):
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        return "[\n" + "".join(f"{deeper}{_value(entry, deeper)},\n" for entry in value) + f"{indent}]"
    if isinstance(value, dict):
        return "{\n" + "".join(f"{deeper}{_key(key)} = {_value(entry, deeper)},\n" for key, entry in value.items()) + f"{indent}}}"
    return flat


def _flat(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value).replace("${", f"${{{_DOLLAR}}}{{")
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_flat(entry)}" for key, entry in value.items()) + " }" if value else "{}"
    return repr(value)

"""Results as one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild.report.words import ANY_NUMBER

if TYPE_CHECKING:
    from modelbuild.usecases.catalogue import MethodView


def document(value: object) -> str:
    """Write a result, or a table of results, as JSON: dataclasses as objects, paths as strings, infinity and NaN as null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def methods(found: Sequence[MethodView]) -> str:
    """Write methods as JSON; null stands for any number of inputs, and a parameter is a table."""
    rows = [
        {
            **_plain(one),
            "inputs": [one.inputs[0], one.inputs[1] if one.inputs[1] < ANY_NUMBER else None],
            "params": [dict(zip(("name", "kind", "per", "default", "range"), param, strict=True)) for param in one.params],
        }
        for one in found
    ]
    return document({"methods": rows})


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value

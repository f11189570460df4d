"""Results as one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modelbuild.report.words import ANY_NUMBER

if TYPE_CHECKING:
    from modelbuild.usecases.catalogue import MethodView


def document(value: object) -> str:
    """Write a result, or a table of results, as JSON: structs as objects, paths as strings, infinity and NaN as null."""
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
    if isinstance(value, Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value

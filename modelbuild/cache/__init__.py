"""The cache: records of what actions gave, packs of their bytes, and what is remembered of source files.

Its names are imported when they are first used: a null build needs next to nothing of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelbuild.cache.index import Index
    from modelbuild.cache.packs import Location, Packs
    from modelbuild.cache.records import Description, Record, Records
    from modelbuild.cache.salvage import Salvage, Salvaged
    from modelbuild.cache.sidecar import TensorEntry, pack_id
    from modelbuild.cache.staging import StagedPack, Staging
    from modelbuild.cache.stattable import Stat, StatTable, stat_tuple
    from modelbuild.cache.whole import Cache

__all__ = [
    "Cache",
    "Description",
    "Index",
    "Location",
    "Measurements",
    "Packs",
    "Record",
    "Records",
    "Salvage",
    "Salvaged",
    "StagedPack",
    "Staging",
    "Stat",
    "StatTable",
    "TensorEntry",
    "pack_id",
    "stat_tuple",
]

_HOMES = {
    "index": ("Index",),
    "packs": ("Location", "Packs"),
    "records": ("Description", "Record", "Records"),
    "salvage": ("Salvage", "Salvaged"),
    "sidecar": ("TensorEntry", "pack_id"),
    "staging": ("StagedPack", "Staging"),
    "stattable": ("Stat", "StatTable", "stat_tuple"),
    "whole": ("Cache",),
}


def __getattr__(name: str) -> Any:
    """Import the module that a name stands in."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"modelbuild.cache.{module}"), name)
    raise AttributeError(name)

"""Merge methods, one file each, found through the entry-point group `modelbuild.methods` like anybody's."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from modelbuild.method import Method

GROUP = "modelbuild.methods"


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed methods by name, sorted."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


@cache
def load(name: str) -> Method:
    """Import the method of that name.

    Raises:
        KeyError: if none is installed under it.
        TypeError: if its entry point leads to something else.

    """
    found = installed()[name].load()
    if not isinstance(found, Method):
        raise TypeError(f"the entry point `{name}` leads to {type(found).__name__}, not to a modelbuild.method.Method")
    return found

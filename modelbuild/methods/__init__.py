"""Merge methods, one file each, found through the entry-point group `modelbuild.methods` like anybody's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from modelbuild.errors import ModelbuildError, Problem
from modelbuild.method import Method

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "modelbuild.methods"


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed methods by name, sorted."""
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


@cache
def load(name: str) -> Method:
    """Import the method of that name.

    Raises:
        KeyError: if none is installed under it.
        ModelbuildError: exit 2, if what is installed cannot be imported, is no method, or goes by another name.

    """
    point = installed()[name]
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise _broken(point, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, Method):
        raise _broken(point, f"it is of type {type(found).__name__}, not modelbuild.method.Method")
    if found.name != name:
        raise _broken(point, f"the method there calls itself `{found.name}`")
    return found


def _broken(point: EntryPoint, fact: str) -> ModelbuildError:
    origin = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    facts = (f"its entry point is {point.value}{origin}", fact)
    return ModelbuildError(
        Problem(f"the installed method `{point.name}` cannot be used", facts=facts, hint="mend or uninstall that distribution")
    )

"""Merge methods, one file each, found through the entry-point group `modelbuild.methods` like anybody's."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
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
def _own() -> dict[str, str]:
    """Return the entry points of this package by name, where its installer wrote them as usual.

    `importlib.metadata`, which finds those of all packages, takes 40 ms.
    """
    for folder in sys.path:
        for path in Path(folder).glob("modelbuild-*.dist-info/entry_points.txt"):
            lines = path.read_text(encoding="utf-8").partition(f"[{GROUP}]\n")[2].partition("\n[")[0].split("\n")
            return dict(line.split(" = ") for line in lines if " = " in line)
    return {}


def is_installed(name: str) -> bool:
    """Tell whether there is a method of that name."""
    return name in _own() or name in installed()


def origin(name: str) -> tuple[str, str]:
    """Return the package that an installed method is of, and the distribution that declares it; "" where that is not known."""
    if name in _own():
        return "modelbuild", "modelbuild"
    point = installed()[name]
    return point.module.partition(".")[0], point.dist.name if point.dist else ""


@cache
def load(name: str) -> Method:
    """Import the method of that name.

    Raises:
        KeyError: if none is installed under it.
        ModelbuildError: exit 2, if what is installed cannot be imported, is no method, or goes by another name.

    """
    module, _, attribute = _own().get(name, "").partition(":")
    try:
        found = getattr(import_module(module), attribute) if module else installed()[name].load()
    except (ImportError, AttributeError) as error:
        raise _broken(name, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, Method):
        raise _broken(name, f"it is of type {type(found).__name__}, not modelbuild.method.Method")
    if found.name != name:
        raise _broken(name, f"the method there calls itself `{found.name}`")
    return found


def _broken(name: str, fact: str) -> ModelbuildError:
    point = installed()[name]
    declared = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    facts = (f"its entry point is {point.value}{declared}", fact)
    return ModelbuildError(
        Problem(f"the installed method `{name}` cannot be used", facts=facts, hint="mend or uninstall that distribution")
    )

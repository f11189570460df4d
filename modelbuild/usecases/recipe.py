"""Recipes as flat tables of text by dotted key: what a Modelfile asks for, what a config.json says, and what differs.  Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from modelbuild.names import dotted
from modelbuild.stale import Change

Recipe = Mapping[str, str]
"""Values as a Modelfile or JSON would write them, by dotted key: `merge.blend.t[1].value` is `0.6`."""

_INPUTS = re.compile(r"((?:.*\.)?(?:inputs|slices))\[(\d+)\]\.model")
_TABLE = re.compile(r'(source|merge)\.("[^"]*"|[A-Za-z0-9_-]+)')


def flat(value: object, path: tuple[str | int, ...] = ()) -> dict[str, str]:
    """Return the values of nested tables and lists; a list of numbers is one value."""
    return dict(_leaves(value, path))


def _leaves(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _leaves(one, (*path, str(key)))
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping | list | tuple | str) for one in value):
        for i, one in enumerate(value):
            bare = isinstance(one, str) and bool(path) and path[-1] == "inputs"  # short for { model = NAME }
            yield from _leaves({"model": one} if bare else one, (*path, i))
    else:
        yield dotted(path), json.dumps(value, ensure_ascii=False, default=str)


def recipe_of(document: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """Return what a Modelfile's tables say of some models, and the seed.

    Args:
        document: the tables, with variables replaced.
        names: sources and merges.

    """
    found = flat(document["seed"], ("seed",)) if "seed" in document else {}
    for kind in ("source", "merge"):
        tables = document.get(kind, {})
        for name in tables:
            if name in names:
                found |= flat(tables[name], (kind, name))
    return found


def within(recipe: Recipe, names: Collection[str]) -> dict[str, str]:
    """Return the part of a recipe that speaks of some models, and the seed."""
    starts = tuple(dotted((kind, name)) for kind in ("source", "merge") for name in names)
    return {
        key: value
        for key, value in recipe.items()
        if key == "seed" or any(key.startswith(start) and key[len(start) : len(start) + 1] in ("", ".", "[") for start in starts)
    }


def moved(old: Recipe, new: Recipe) -> tuple[Change, ...]:
    """Say what differs; inputs that only stand in another order are one change."""
    changes = []
    for group in sorted(_groups(old) & _groups(new)):
        before, after = _models(old, group), _models(new, group)
        if before != after and sorted(before) == sorted(after) and len(set(before)) == len(before):
            changes.append(Change(f"{group} (order)", ", ".join(before), ", ".join(after)))
            old = _reordered(old, group, [after.index(model) for model in before])
    names = dict.fromkeys([*new, *old])
    return (*changes, *(Change(name, old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)))


def _groups(recipe: Recipe) -> set[str]:
    return {found[1] for key in recipe if (found := _INPUTS.fullmatch(key))}


def _models(recipe: Recipe, group: str) -> Sequence[str]:
    """Return the models of a list of inputs, in order."""
    held = {int(found[2]): value for key, value in recipe.items() if (found := _INPUTS.fullmatch(key)) and found[1] == group}
    return [str(json.loads(held[i])) for i in sorted(held)]


def _reordered(recipe: Recipe, group: str, places: Sequence[int]) -> dict[str, str]:
    """Return a recipe whose inputs stand in other places: the i-th at `places[i]`."""

    def renamed(key: str) -> str:
        found = re.match(re.escape(group) + r"\[(\d+)\]", key)
        return f"{group}[{places[int(found[1])]}]{key[found.end() :]}" if found else key

    return {renamed(key): value for key, value in recipe.items()}


def resting_on(recipe: Recipe, name: str) -> frozenset[str]:
    """Return the models that a merge rests on by a recipe, itself included: those that its values name, and so on."""
    tables: dict[str, set[str]] = {}
    for key, value in recipe.items():
        found = _TABLE.match(key)
        if found:
            named = tables.setdefault(json.loads(found[2]) if found[2][0] == '"' else found[2], set())
            if value[0] == '"' and not key.endswith(".method"):
                named.add(json.loads(value))
    found_all: set[str] = set()
    waiting = {name}
    while waiting:
        found_all |= waiting
        waiting = {named for one in waiting for named in tables.get(one, ()) if named in tables} - found_all
    return frozenset(found_all)

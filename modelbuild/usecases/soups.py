"""Soups: merges whose ingredients were chosen by a search, and stand in the lock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from modelbuild.digest import KeyHasher
from modelbuild.errors import ModelbuildError
from modelbuild.lockfile import Lock
from modelbuild.modelfile.checks import SOUP
from modelbuild.modelfile.model import Merge, Modelfile


def edit_of(name: str, ingredients: Sequence[str]) -> str:
    """Say which ingredients a soup has, as an edit of the Modelfile."""
    return f"merge.{name}.inputs={json.dumps(list(ingredients))}"


def check_of(merge: Merge) -> str:
    """Return the check that a soup is chosen by."""
    return str(merge.params["check"][0].value) if "check" in merge.params else ""


def definition_of(modelfile: Modelfile, merge: Merge) -> str:
    """Hash what a soup is chosen of, and by what; what models hold is no part of it."""
    check = modelfile.checks[check_of(merge)]
    hasher = KeyHasher("soup")
    hasher.field("inputs", tuple(one.model for one in merge.inputs))
    hasher.field("check", repr((check.kind, check.how, check.dtype)))
    return hasher.key()


def with_soups(modelfile: Modelfile, lock: Lock | None, chosen: Mapping[str, Sequence[str]]) -> Modelfile:
    """Return a Modelfile whose soups are means of their ingredients, as far as it is known which those are.

    Args:
        modelfile: as written.
        lock: what was chosen before.
        chosen: ingredients, by merge, that go before what the lock says.

    """
    soups = {name: merge for name, merge in modelfile.merges.items() if merge.method == SOUP}
    if not soups:
        return modelfile
    found = {name: chosen.get(name) or _locked(modelfile, merge, lock) for name, merge in soups.items()}
    merges = {
        name: replace(merge, method="linear", params={}, inputs=tuple(one for one in merge.inputs if one.model in found[name]))
        if found.get(name)
        else merge
        for name, merge in modelfile.merges.items()
    }
    return replace(modelfile, merges=merges)


def refuse_unchosen(modelfile: Modelfile, merges: Iterable[str]) -> None:
    """Refuse to plan a soup of which nobody has chosen the ingredients.

    Raises:
        ModelbuildError: exit 2.

    """
    problems = [
        modelfile.locator.problem(
            f"the ingredients of `{name}` are not chosen yet",
            ("merge", name),
            facts=("the lock names none that were chosen of these inputs by this check",),
            hint=f"run `modelbuild search {name}`",
        )
        for name in merges
        if modelfile.merges[name].method == SOUP
    ]
    if problems:
        raise ModelbuildError(problems)


def _locked(modelfile: Modelfile, merge: Merge, lock: Lock | None) -> Sequence[str]:
    locked = lock.searches.get(merge.name) if lock else None
    if locked is None or locked.definition != definition_of(modelfile, merge):
        return ()
    for edit in locked.edits:
        key, _, value = edit.partition("=")
        if key == f"merge.{merge.name}.inputs":
            return tuple(map(str, json.loads(value)))
    return ()

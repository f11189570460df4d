"""Which merges the words of a command mean: names, sweeps, groups and globs of names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from modelbuild.errors import ModelbuildError, Problem, among, did_you_mean
from modelbuild.modelfile.misnamed import listed, meant_variant, respelt, variants_of
from modelbuild.modelfile.model import Modelfile
from modelbuild.names import VARIANT, is_glob, is_meant, plain


def select(modelfile: Modelfile, words: Iterable[str], way_out: Callable[[str], str] = lambda word: "") -> tuple[str, ...]:
    """Return the merges that words mean, and those that the exports among them are of: see `meant`."""
    exports = modelfile.exports
    return tuple(dict.fromkeys(exports[one].of if one in exports else one for one in meant(modelfile, words, way_out)))


def meant(modelfile: Modelfile, words: Iterable[str], way_out: Callable[[str], str] = lambda word: "") -> tuple[str, ...]:
    """Return the merges and exports that words mean, each once, in the order in which they are first meant.

    A word is the name of a merge or an export; of a merge with a matrix, which means all its variants; of a group, which means all its
    members; or a glob (`*`, `?`, `[…]`) over the names of merges, their variants and exports.

    Args:
        modelfile: what is declared.
        words: any number.
        way_out: the hint for a word that means nothing, where no name is near it.

    Raises:
        ModelbuildError: exit 2, for every word that means nothing.

    """
    found: dict[str, None] = {}
    problems: dict[Problem, None] = {}
    for word in words:
        names = dict.fromkeys(meaning(modelfile, word))
        if not names:
            problems[Problem(*unknown(modelfile, word, way_out(word)))] = None
        found |= names
    if problems:
        raise ModelbuildError(problems)
    return tuple(found)


def meaning(modelfile: Modelfile, word: str) -> Iterator[str]:
    """Yield the merges and exports that a word means: none where it means nothing."""
    pending, seen = [word], set[str]()
    while pending:
        one = pending.pop(0)
        if one in seen:
            continue
        seen.add(one)
        if one in modelfile.merges or one in modelfile.exports:
            yield one
        elif one in modelfile.sweeps:
            yield from modelfile.sweeps[one]
        elif one in modelfile.groups:
            pending = [*modelfile.groups[one], *pending]
        elif is_glob(one):
            names = [name for name in modelfile.merges if is_meant(name, one)]
            yield from (*names, *(name for name in modelfile.exports if fnmatchcase(name, one)))


def picked(word: str, names: Collection[str]) -> tuple[str, ...]:
    """Return those of some merges' names that a word means: the one of that name, else a sweep's variants and what a glob matches."""
    return (word,) if word in names else tuple(name for name in names if is_meant(name, word))


def unknown(modelfile: Modelfile, word: str, way_out: str = "") -> tuple[str, str, None, tuple[str, ...], str]:
    """Return the words for a word that means nothing, as a problem takes them."""
    declared = (*dict.fromkeys(merge.sweep or name for name, merge in modelfile.merges.items()), *modelfile.groups, *modelfile.exports)
    facts = (f"declared: {among(declared)}" if declared else f"{modelfile.path} declares none",)
    variants = variants_of(word, modelfile.merges) if VARIANT in word else ()
    hint = ""
    if variants:
        facts, hint = (f"variants: {listed(variants)}",), meant_variant(word, variants)
        hint = hint or f"`'{word.partition(VARIANT)[0]}{VARIANT}*'` means all of them"
    if is_glob(respelt(word) if variants else word):
        known = (*declared, *(f"{name}{VARIANT}*" for name in modelfile.sweeps))
        return f"no merge matches `{plain(word)}`", "", None, facts, hint or did_you_mean(word, known) or way_out
    hint = hint or did_you_mean(word, (*declared, *modelfile.merges))
    if word in modelfile.sources:
        hint = f"`{word}` is a source: name a merge that reads it"
    return f"no merge is called `{plain(word)}`", "", None, facts, hint or way_out


def knots(modelfile: Modelfile) -> Iterator[tuple[str, ...]]:
    """Yield the groups that are members of themselves: each as the way from the group back to it."""
    settled: set[str] = set()
    for start in modelfile.groups:
        way: list[str] = []
        pending: list[tuple[str, int]] = [(start, 0)]
        while pending:
            name, depth = pending.pop()
            settled.update(way[depth:])
            del way[depth:]
            if name in way:
                yield (*way[way.index(name) :], name)
                settled.update(way)
                break
            if name in settled:
                continue
            way.append(name)
            pending += [(one, depth + 1) for one in modelfile.groups[name] if one in modelfile.groups and one not in modelfile.merges]
        settled.update(way)

"""What to say to a word that names nothing: what there is, and what is near it.  Of sweeps these are the variants."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from modelbuild.errors import among, did_you_mean
from modelbuild.modelfile.sweep import shown
from modelbuild.names import VARIANT, is_glob, plain

FEW = 8
"""Variants that a message lists."""

_NEAR = 3
"""Variants that a hint names."""

_APART = 3
"""Variants of one merge that are listed by themselves among other merges."""

_INDEX = re.compile(r"\[(\d+)\]")
_LIST = re.compile(r"=\[([^\[\]=]*)\]")
_QUOTES = re.compile("[\"' ]")


def misnamed(word: str, what: str, known: Collection[str]) -> tuple[str, tuple[str, ...], str]:
    """Return what is wrong with a word where one thing is to be named, the facts and the hint.

    Args:
        word: names none of them.
        what: the sentence for a word that is not the name of a sweep.
        known: everything that it could name, variants and not their sweeps.

    """
    variants = variants_of(word, known)
    if not variants:
        return what, (f"declared: {among(_folded(known))}" if known else "none is declared",), did_you_mean(word, known)
    facts = (f"variants: {listed(variants)}",)
    if VARIANT not in word:
        return f"`{plain(word)}` is made several times, by its matrix", facts, f"name one of them: `{variants[0]}`"
    return what, facts, meant_variant(word, variants) or f"name one of them: `{variants[0]}`"


def _folded(names: Collection[str]) -> list[str]:
    """Write many variants of one merge as one."""
    counts = Counter(name.partition(VARIANT)[0] for name in names if VARIANT in name)
    many = {sweep: f"{sweep}{VARIANT}* ({count} variants)" for sweep, count in counts.items() if count > _APART}
    return list(dict.fromkeys(many.get(name.partition(VARIANT)[0], name) if VARIANT in name else name for name in names))


def variants_of(word: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the variants of the sweep that a word names, alone or with a point behind it."""
    start = word.partition(VARIANT)[0] + VARIANT
    return tuple(name for name in known if name.startswith(start))


def listed(variants: Sequence[str]) -> str:
    """List variants for a fact: the first of many."""
    more = len(variants) - FEW
    return ", ".join(variants[:FEW]) + (
        f" and {more} more; `modelbuild status {variants[0].partition(VARIANT)[0]}` lists them" if more > 0 else ""
    )


def meant_variant(word: str, variants: Sequence[str]) -> str:
    """Return the hint for a misspelt variant, or a glob over variants that matches none; "" where nothing is near it.

    Parameters may be written as in the Modelfile, `t[0].value`, and in any order; numbers are near by what they are.
    """
    spelt = respelt(word)
    if is_glob(spelt):
        return f"did you mean `'{spelt}'`?" if any(fnmatchcase(name, spelt) for name in variants) else ""
    near = _nearest(_values(spelt.partition(VARIANT)[2]), {name: _values(name.partition(VARIANT)[2]) for name in variants})
    names = ", ".join(f"`{name}`" for name in near[:_NEAR])
    return f"did you mean {'one of ' if len(near) > 1 else ''}{names}?" if near else ""


def respelt(word: str) -> str:
    """Write the point in a word as names have it: indices with dots, lists with `_`, nothing quoted."""
    sweep, at, point = word.partition(VARIANT)
    point = _LIST.sub(lambda found: "=" + "_".join(found[1].split(",")), point)
    return sweep + at + _QUOTES.sub("", _INDEX.sub(r".\1", point))


def _values(point: str) -> dict[str, str]:
    """Return the values of a point by the labels of their parameters."""
    pairs = (one.partition("=") for one in point.split(","))
    return {label: "_".join(map(_number, value.split("_"))) for label, _, value in pairs}


def _number(text: str) -> str:
    try:
        return shown(float(text))
    except ValueError:
        return text


def _nearest(said: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the variants that are nearest to what was said of some parameters: several where nothing was said of what they differ in."""
    import difflib

    labels = list(dict.fromkeys(label for point in points.values() for label in point))
    close = {
        label: [label] if label in labels else _within(label, labels) or difflib.get_close_matches(label, labels, n=1) for label in said
    }
    meant = {found[0]: said[label] for label, found in close.items() if found}
    away = {name: sum(_apart(value, point.get(label, "")) for label, value in meant.items()) for name, point in points.items()}
    least = min(away.values())
    return [name for name, distance in away.items() if distance == least] if meant else []


def _within(label: str, labels: Sequence[str]) -> list[str]:
    """Return the labels that a longer or a shorter one is about: `t.0` for `t`, `weight` for `inputs.code.weight`."""
    return [
        one
        for one in labels
        if any(long.startswith(f"{short}.") or long.endswith(f".{short}") for long, short in ((one, label), (label, one)))
    ]


def _apart(one: str, other: str) -> float:
    """Return how far apart two values are: from 0, equal, to 1."""
    try:
        a, b = float(one), float(other)
    except ValueError:
        return float(one != other)
    return abs(a - b) / (1 + abs(a) + abs(b))

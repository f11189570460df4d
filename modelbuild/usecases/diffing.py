"""Two models compared: their recipes first, then the tensors whose digests differ, and no others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from modelbuild.engine.comparing import BYTES_PER_ELEMENT, CHUNK, Difference, difference
from modelbuild.engine.crew import work
from modelbuild.engine.workspace import Interrupted
from modelbuild.errors import ModelbuildError, Problem
from modelbuild.names import natural
from modelbuild.stale import Change
from modelbuild.usecases.logbook import cache_of
from modelbuild.usecases.recipe import flat, moved
from modelbuild.usecases.sides import HeldTensor, Side, Sides
from modelbuild.usecases.unlike import file_changes
from modelbuild.usecases.where import Where

_SMALL = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)
_MEMORY = 512 << 20
"""Bytes that comparisons may take together."""


class UnlikeTensor(Struct, frozen=True):
    """A tensor that both have, and that is not the same.

    Args:
        name: of it.
        forms: the types and shapes, where these differ: "BF16 [40, 16]", or "" of one whose bytes are nowhere.
        values: how far apart they are; None where shapes differ, or bytes are nowhere.

    """

    name: str
    forms: tuple[str, str]
    values: Difference | None


class Comparison(Struct, frozen=True):
    """Two models compared.

    Args:
        a: what the first is called.
        b: the second.
        recipe: what was asked for otherwise: parameters, inputs, methods, sources, files beside the weights.
        tensors: those that differ, in natural order.
        only_a: names of tensors that only the first has.
        only_b: only the second.
        same: how many are equal.
        read: bytes that were read for it.

    """

    a: str
    b: str
    recipe: tuple[Change, ...]
    tensors: tuple[UnlikeTensor, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    same: int
    read: int

    @property
    def equal(self) -> bool:
        """Whether the two hold the same tensors and, as far as it is known, the same files."""
        return not (self.tensors or self.only_a or self.only_b or self.recipe)


def diff(where: Where, first: str, second: str, root: Path) -> tuple[Comparison, ...]:
    """See `modelbuild.usecases.diff`."""
    cache = cache_of(where)
    try:
        sides = Sides(where, cache, root)
        pairs = _paired(sides.named(first), sides.named(second))
        return tuple(_compared(a, b) for a, b in pairs)
    finally:
        cache.close()


def _paired(ones: Sequence[Side], others: Sequence[Side]) -> list[tuple[Side, Side]]:
    """Pair the outputs of builds by their targets; a side that is alone is compared with the one of its target, or the only one."""
    if len(ones) == len(others) == 1:
        return [(ones[0], others[0])]
    by_target = {other.target: other for other in others}
    pairs = [(one, by_target[one.target]) for one in ones if one.target and one.target in by_target]
    if not pairs:
        facts = (f"{', '.join(one.label for one in ones)} on one side", f"{', '.join(other.label for other in others)} on the other")
        raise ModelbuildError(Problem("which outputs are to be compared?", facts=facts, hint="name one of each"))
    return pairs


def _compared(a: Side, b: Side) -> Comparison:
    """Compare two sides."""
    both = sorted(a.tensors.keys() & b.tensors.keys(), key=natural)
    differing = [name for name in both if not _is_same(a.tensors[name], b.tensors[name])]
    found: dict[str, UnlikeTensor | None] = {}
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise Interrupted

    def compare(name: str) -> None:
        found[name] = _unlike(name, a.tensors[name], b.tensors[name], check)

    jobs = max(1, min(os.cpu_count() or 1, _MEMORY // (CHUNK * BYTES_PER_ELEMENT)))
    failed = work((partial(compare, name) for name in differing), jobs, stopped.set, lambda: None, keep_going=False)
    if failed:
        raise failed[0]
    unlike = tuple(one for name in differing if (one := found[name]))
    read = sum(one.info.nbytes for name in differing for one in (a.tensors[name], b.tensors[name]) if one.info)
    only_a, only_b = (tuple(sorted(x.tensors.keys() - y.tensors.keys(), key=natural)) for x, y in ((a, b), (b, a)))
    return Comparison(a.label, b.label, tuple(_recipe(a, b)), unlike, only_a, only_b, len(both) - len(unlike), read)


def _is_same(one: HeldTensor, other: HeldTensor) -> bool:
    return bool(one.digest) and one.digest == other.digest


def _unlike(name: str, one: HeldTensor, other: HeldTensor, check: Callable[[], None]) -> UnlikeTensor | None:
    """Compare two tensors; None where they turn out to be the same."""
    forms = (_form(one), _form(other))
    if one.info is None or other.info is None:
        return UnlikeTensor(name, forms, None)
    values = difference(one.info, other.info, check)
    unlike = values is None or values.elements or one.info.dtype != other.info.dtype or (one.digest and other.digest)
    return UnlikeTensor(name, forms if forms[0] != forms[1] else ("", ""), values) if unlike else None


def _form(held: HeldTensor) -> str:
    return f"{held.info.dtype} {list(held.info.shape)}" if held.info else ""


def _recipe(a: Side, b: Side) -> Iterator[Change]:
    """Yield what was asked for otherwise, and the small files that differ."""
    if a.recipe and b.recipe:
        yield from moved(_as_one(a, b.target), b.ingredients)
    for fact in sorted(a.facts.keys() & b.facts.keys()):
        if a.facts[fact] != b.facts[fact]:
            yield Change(fact[0], a.facts[fact], b.facts[fact])
    for name in _SMALL if a.whole and b.whole else ():
        yield from file_changes(name, a.small(name), b.small(name))


def _as_one(side: Side, target: str) -> Mapping[str, str]:
    """Return the ingredients of a side, its target called like the other's: two targets of one Modelfile are compared as merges."""
    if not target or side.target == target:
        return side.ingredients
    start = next(iter(flat({side.target: {"": 0}}, ("merge",)))).rpartition(".")[0]
    other = next(iter(flat({target: {"": 0}}, ("merge",)))).rpartition(".")[0]
    return {other + key.removeprefix(start) if key.startswith(f"{start}.") else key: value for key, value in side.ingredients.items()}

"""Bounds on scores, as a Modelfile writes them: a number, or arithmetic on the scores of other models.

    bound   = sum
    sum     = product { ("+" | "-") product }
    product = sign { ("*" | "/") sign }
    sign    = "-" sign | atom [ "%" ]
    atom    = NUMBER | "(" sum ")" | FUNCTION "(" sum { "," sum } ")" | "score" "(" "'" NAME "'" ")" | "parents" | NAME

FUNCTION is best, worst, mean, min or max, and takes numbers and `parents`; a NAME alone is the score of that model.  Nothing of a
bound is run as Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf, isfinite, nan

from msgspec import Struct

PARENTS = "parents"
FUNCTIONS = ("best", "worst", "mean", "min", "max")

_LONGEST = 500
"""Characters of a bound; it also limits how deep its reader goes."""
_DEEPEST = 30

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|'(?P<quoted>[^']*)'|(?P<sign>[-+*/(),%]))"
)

Tree = float | tuple[str, tuple["Tree", ...]]
"""A number; or an operation with its operands: a sign, a function, "parents" alone, or "score NAME" alone."""


class Bound(Struct, frozen=True):
    """A bound as written, read.

    Args:
        text: as written.
        tree: what it says.
        models: the models whose scores it names.

    """

    text: str
    tree: Tree
    models: tuple[str, ...]

    @property
    def of_parents(self) -> bool:
        """Whether it needs the scores of the parents."""
        return _holds(self.tree, PARENTS)

    @property
    def is_number(self) -> bool:
        """Whether it names no model at all."""
        return not self.models and not self.of_parents

    def value(self, score: Callable[[str], float], parents: Sequence[float], *, higher_is_better: bool) -> float:
        """Work it out; nan where a score is, or a divisor is 0.

        Args:
            score: of a model, by name.
            parents: the scores of the parents, at least one where the bound names them.
            higher_is_better: of two scores: what `best` means.

        """
        found = _Worked(score, tuple(parents), higher_is_better=higher_is_better).number(self.tree)
        return found if isfinite(found) else nan


def read_bound(written: float | str) -> Bound:
    """Read a bound.

    Raises:
        ValueError: if it makes no sense, or is no finite number whatever the scores; the message says what was met where.

    """
    if not isinstance(written, str):
        return Bound(f"{written:g}", float(written), ())
    reader = _Reader(written)
    tree = reader.whole()
    _refuse_endless(tree)
    return Bound(written.strip(), tree, tuple(dict.fromkeys(reader.models)))


def _refuse_endless(tree: Tree) -> None:
    """Refuse a part of a bound that no score makes a finite number: a division by 0, or what is too large for a float."""
    if isinstance(tree, tuple):
        for one in tree[1]:
            _refuse_endless(one)
        if tree[0] == "/" and _is_constant(tree[1][1]) and not _constant(tree[1][1]):
            raise ValueError("it divides by 0")
    if _is_constant(tree) and not isfinite(_constant(tree)):
        raise ValueError("it holds a number that is too large")


def _is_constant(tree: Tree) -> bool:
    """Tell whether a part of a bound rests on no score."""
    if isinstance(tree, float):
        return True
    _, operands = tree
    return bool(operands) and all(map(_is_constant, operands))


def _constant(tree: Tree) -> float:
    return _Worked(lambda _: nan, (), higher_is_better=True).number(tree)


class _Reader:
    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} characters")
        self._tokens: list[tuple[str, str]] = []
        self.models: list[str] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                raise ValueError(f"`{text[at:].strip()[:1]}` has no meaning here")
            self._tokens.append((str(found.lastgroup), str(found[str(found.lastgroup)])))
            at = found.end()
        self._at = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._sum()
        if self._at < len(self._tokens):
            raise ValueError(f"`{self._tokens[self._at][1]}` was not expected there")
        if _is_list(tree):
            raise ValueError("`parents` are several scores: write best(parents), worst(parents) or mean(parents)")
        return tree

    def _sum(self) -> Tree:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        tree = self._product()
        while sign := self._sign("+-"):
            tree = self._joined(sign, tree, self._product())
        self._depth -= 1
        return tree

    def _product(self) -> Tree:
        tree = self._signed()
        while sign := self._sign("*/"):
            tree = self._joined(sign, tree, self._signed())
        return tree

    def _signed(self) -> Tree:
        negative = False
        while self._sign("-"):
            negative = not negative
        tree = self._atom()
        if self._sign("%"):
            tree = self._joined("*", tree, 0.01)
        return self._joined("*", -1.0, tree) if negative else tree

    def _joined(self, sign: str, left: Tree, right: Tree) -> Tree:
        if _is_list(left) or _is_list(right):
            raise ValueError("`parents` are several scores: write best(parents), worst(parents) or mean(parents)")
        return sign, (left, right)

    def _atom(self) -> Tree:
        kind, text = self._next()
        if kind == "number":
            return float(text)
        if kind == "sign" and text == "(":
            tree = self._sum()
            self._expect(")")
            return tree
        if kind == "name" and text == PARENTS:
            return PARENTS, ()
        if kind == "name" and self._sign("("):
            return self._called(text)
        if kind == "name":
            return self._score(text)
        raise ValueError(f"`{text}` was not expected there")

    def _called(self, function: str) -> Tree:
        if function == "score":
            kind, text = self._next()
            if kind != "quoted":
                raise ValueError("`score` takes a name in single quotes: score('NAME')")
            self._expect(")")
            return self._score(text)
        if function not in FUNCTIONS:
            raise ValueError(f"there is no function `{function}`: {', '.join((*FUNCTIONS, 'score'))}")
        arguments = [self._sum()]
        while self._sign(","):
            arguments.append(self._sum())
        self._expect(")")
        return function, tuple(arguments)

    def _score(self, model: str) -> Tree:
        self.models.append(model)
        return f"score {model}", ()

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise ValueError("it ends too soon")
        self._at += 1
        return self._tokens[self._at - 1]

    def _sign(self, among: str) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "sign" and self._tokens[self._at][1] in among:
            return self._next()[1]
        return ""

    def _expect(self, sign: str) -> None:
        if not self._sign(sign):
            raise ValueError(f"a `{sign}` is missing")


class _Worked:
    def __init__(self, score: Callable[[str], float], parents: tuple[float, ...], *, higher_is_better: bool) -> None:
        self._score, self._parents, self._higher = score, parents, higher_is_better

    def number(self, tree: Tree) -> float:
        if isinstance(tree, float):
            return tree
        operation, operands = tree
        if operation.startswith("score "):
            return self._score(operation.removeprefix("score "))
        if operation in "+-*/":
            left, right = map(self.number, operands)
            return _calculated(operation, left, right)
        values = [value for one in operands for value in self._listed(one)]
        if any(value != value for value in values):  # noqa: PLR0124 - nan, which min and max pass over
            return nan
        highest = operation in ("max", "best" if self._higher else "worst")
        return _mean(values) if operation == "mean" else max(values) if highest else min(values)

    def _listed(self, tree: Tree) -> tuple[float, ...]:
        return self._parents if _is_list(tree) else (self.number(tree),)


def _mean(values: Sequence[float]) -> float:
    from statistics import fmean

    try:
        return fmean(values)
    except OverflowError:  # their sum has no float
        return inf


def _calculated(sign: str, left: float, right: float) -> float:
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right if right else inf


def _is_list(tree: Tree) -> bool:
    return isinstance(tree, tuple) and tree[0] == PARENTS


def _holds(tree: Tree, operation: str) -> bool:
    return isinstance(tree, tuple) and (tree[0] == operation or any(_holds(one, operation) for one in tree[1]))

"""Parameters: filters of substrings as globs, what gradients mean outside of layers written out, numbers in quotes as numbers."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal

from msgspec import Struct

from modelbuild.errors import did_you_mean
from modelbuild.mergekit.ledger import At, Ledger, Placed
from modelbuild.mergekit.substrings import glob_of
from modelbuild.method import Method, Param
from modelbuild.methods import installed, load

Scope = Literal["input", "slice", "node"]
Setting = Any
"""What a parameter has in a Modelfile: a scalar, a gradient, or rules."""

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_COUNTED = re.compile(r"(^|[^A-Za-z0-9_])\d")


class Settings(Struct, frozen=True, dict=True):
    """Reads the parameters of a document.

    Args:
        ledger: what is said.
        method: the document's.
        renumbered: whether layers have other numbers in the result than in the models, so that a filter for one would mean another.

    """

    ledger: Ledger
    method: Method
    renumbered: bool = False

    def read(self, at: At, scope: Scope) -> dict[str, Setting]:
        """Read a table of parameters that holds for an input, a slice or the whole merge."""
        found: dict[str, Setting] = {}
        told = self.ledger.table(at)
        for name in told.value:
            one, param = told[name], self.method.param(name)
            if name == "dare" and isinstance(one.value, dict) and one.value.keys() == {"drop_rate"} and self.method.param("density"):
                found["density"] = Placed(self.density(one["drop_rate"]), one)
            elif param is None:
                self.unknown(one, name)
            elif scope == "input" and param.per == "node" and not param.inert:
                self.ledger.note(
                    one, f"`{name}` of `{self.method.name}` is one for all models; beside one of them it has no effect, in mergekit either"
                )
            else:
                found[name] = Placed(self.setting(one, param), one)
        return found

    def merged(self, own: At, general: At) -> dict[str, Setting]:
        """Read the parameters of a module, which go before those of all."""
        first, then = self.read(own, "node"), self.read(general, "node")
        return {
            name: following(first[name], then[name]) if name in first and name in then else {**then, **first}[name]
            for name in {**then, **first}
        }

    def density(self, rate: At) -> float:
        """Return the share that is kept where a share is dropped."""
        try:
            density = round(1 - float(rate.value), 12)
        except (TypeError, ValueError):
            self.ledger.say(rate, "`drop_rate` should be a number", (f"found: {str(rate.value)[:60]}",), "write one from 0 to 1")
            return 1.0
        self.ledger.note(rate, f"`dare: {{ drop_rate: {rate.value} }}` is taken as `density = {density}`")
        return density

    def unknown(self, at: At, name: str) -> None:
        """Say that the method has no such parameter: in passing if another has, for then mergekit passes over it knowingly."""
        known = [param.name for param in self.method.params]
        if name in _elsewhere():
            self.ledger.note(at, f"`{name}` has no effect on `{self.method.name}`, in mergekit either: left out")
            return
        facts = f"`{self.method.name}` takes: {', '.join(known)}" if known else f"`{self.method.name}` takes no parameters"
        self.ledger.say(at, f"unknown key `{name}`", (facts,), did_you_mean(name, known))

    def setting(self, at: At, param: Param) -> Setting:
        """Read a value, a gradient, or conditions, of which mergekit takes one without a list as well."""
        if not isinstance(at.value, dict | list):
            return _lax(param, at.value)
        if not at.value:
            self.ledger.say(at, "this list is empty", hint="write a number, or one for each point of a gradient")
            return at.value
        if isinstance(at.value, list) and not any(isinstance(one, dict) for one in at.value):
            found = _gradient(param, at.value)
            return [found] if isinstance(found, dict) else found
        rules = []
        for one in [at] if isinstance(at.value, dict) else self.ledger.listed(at):
            rule = self.rule(one, param) if isinstance(one.value, dict) else {"value": _lax(param, one.value)}
            rules += [Placed(rule, one)] if rule else []
        return rules

    def rule(self, at: At, param: Param) -> dict[str, Any]:
        """Read a condition: a substring of names, or none, and the value there."""
        told = self.ledger.table(at, ("filter", "value"))
        inner, words = told["value"].value, told["filter"].value
        if inner is None or inner == []:
            self.ledger.say(at, "this rule has no value", hint="write `value: …`")
            return {}
        found = _gradient(param, inner) if isinstance(inner, list) else _lax(param, inner)
        rule = found if isinstance(found, dict) else {"value": found}
        if words is None or str(words) in ("", "*"):
            return rule
        words = str(words)
        if set(words) & {"*", "?"}:
            hint = (
                f"write {words.strip('*.?')}"
                if not set(words.strip("*.?")) & {"*", "?"} and words.strip("*.?")
                else "write a part of the names"
            )
            self.ledger.say(
                told["filter"], f"the filter `{words}` matches nothing in mergekit", ("it looks for these very signs in names",), hint
            )
        if self.renumbered and param.per == "input" and _COUNTED.search(words):
            facts = ("mergekit counts the layers of the model here, a Modelfile those of the result, and slices give them other numbers",)
            self.ledger.say(
                told["filter"], f"the filter `{words}` goes by the number of a layer", facts, "give the layers a slice of their own"
            )
        return {"filter": Placed(glob_of(words), told["filter"]), **rule}


def following(first: Setting, then: Setting) -> Setting:
    """Return a setting that falls to another where no condition of it holds."""
    rules = first.value if isinstance(first, Placed) else first
    plain = [one.value if isinstance(one, Placed) else one for one in rules] if isinstance(rules, list) else []
    if not plain or not all(isinstance(one, dict) and "filter" in one for one in plain):
        return first
    after = then.value if isinstance(then, Placed) else then
    listed = after if isinstance(after, list) and any(isinstance(one, dict | Placed) for one in after) else [{"value": after}]
    return [*rules, *listed]


def _gradient(param: Param, values: list[Any]) -> Any:
    """Return a gradient, as a rule if embeddings, norm and head do not come out as mergekit means it: with its first value."""
    read = [_lax(param, one) for one in values]
    if param.kind is not float and all(one == read[0] for one in read):
        return read[0]
    return read if read[0] == read[-1] else {"value": read, "outside": read[0]}


def _lax(param: Param, value: Any) -> Any:
    """Return a scalar in the parameter's kind, where it is written in another that mergekit takes for it."""
    try:
        if param.kind is bool and not isinstance(value, bool) and str(value).lower() in _TRUTHS:
            return _TRUTHS[str(value).lower()]
        if param.kind is float and isinstance(value, str | bool):
            return float(value)
        if param.kind is int and isinstance(value, str | float) and float(value).is_integer():
            return int(float(value))
    except (ValueError, OverflowError):
        pass  # it is refused where it is bound
    return value


@cache
def _elsewhere() -> frozenset[str]:
    """Return the parameters that any method has."""
    return frozenset(param.name for name in installed() for param in load(name).params)

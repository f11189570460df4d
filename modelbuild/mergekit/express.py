"""Parameters in mergekit's words: conditions with substrings, gradients whose first value holds outside of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelbuild.errors import Problem
from modelbuild.mergekit.substrings import substring_of
from modelbuild.method import Method, Param
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import Merge, Rule, Setting
from modelbuild.names import KeyPath

_OURS = ("trim", "elect", "scale_invariant")
"""Parameters that mergekit's methods of the same name lack; their defaults are what mergekit does."""

_NEEDED = "weight"
"""What mergekit wants to be told although it could be 1."""


class Expressed:
    """Says the parameters of one method.

    Args:
        method: the merge's.
        locator: finds places in the Modelfile.
        problems: where to add what has no words.

    """

    def __init__(self, method: Method, locator: Locator, problems: list[Problem]) -> None:
        self.method, self.locator, self.problems = method, locator, problems

    def say(self, what: str, path: KeyPath, *, hint: str = "") -> None:
        """Add what has no words in mergekit."""
        self.problems.append(self.locator.problem(what, path, key=True, hint=hint))

    def of_all(self, merge: Merge) -> dict[str, Any]:
        """Say what holds for a whole merge; weights that a Modelfile leaves out are 1."""
        found = self.of(merge.params)
        if self.method.param(_NEEDED) is None:
            return found
        given = [self.is_total(one.params.get(_NEEDED)) for one in (merge.inputs or [i for part in merge.slices for i in part.inputs])]
        if _NEEDED not in found:
            return found if all(given) else {**found, _NEEDED: 1.0}
        if not self.is_total(merge.params[_NEEDED]):
            found[_NEEDED] = [*found[_NEEDED], {"value": 1.0}]
        return found

    def is_total(self, setting: Setting | None) -> bool:
        """Tell whether a setting has a value for every tensor."""
        return setting is not None and any(not rule.filter and not rule.layers for rule in setting)

    def of(self, params: Mapping[str, Setting]) -> dict[str, Any]:
        """Say some parameters."""
        found = {}
        for name, setting in params.items():
            param = self.method.param(name)
            if param is None or param.inert:  # unknown ones are refused where it is bound
                continue
            if name in _OURS:
                for rule in (rule for rule in setting if rule.value != param.default):
                    self.say(f"mergekit's `{self.method.name}` has no `{name}`", rule.path, hint="remove it")
                continue
            found[name] = self.setting(param, setting)
        return found

    def setting(self, param: Param, setting: Setting) -> Any:
        """Say a value, a gradient, or conditions."""
        if len(setting) == 1 and not setting[0].filter and not setting[0].layers:
            return self.value(param, setting[0])
        rules = []
        for rule in setting:
            if rule.layers:
                hint = "give these layers a slice of their own"
                self.say("mergekit's conditions do not go by layers", (*rule.path, "layers"), hint=hint)
            words = substring_of(rule.filter) if rule.filter else ""
            if rule.filter and not words:
                hint = "write a rule for each word that it stands for"
                self.say(f"mergekit looks for parts of names, and `{rule.filter}` is none", (*rule.path, "filter"), hint=hint)
            rules.append({**({"filter": words} if words else {}), "value": self.value(param, rule)})
        return rules

    def value(self, param: Param, rule: Rule) -> Any:
        """Say a scalar or a gradient."""
        value = rule.value
        if not isinstance(value, tuple):
            return self.scalar(param, value, rule.path)
        outside = value[-1] if rule.outside is None else rule.outside
        if outside != value[0]:
            facts = f"mergekit gives norm and head the first value of a gradient, {value[0]}, and this gives them {outside}"
            hint = f"write `{{ value = {list(value)}, outside = {value[0]} }}` if you mean that"
            self.problems.append(self.locator.problem(f"`{param.name}` cannot be said in mergekit", rule.path, facts=(facts,), hint=hint))
        return list(value)

    def scalar(self, param: Param, value: Any, path: KeyPath) -> Any:
        """Say a scalar; what mergekit has as true and false may be a word here."""
        if param.name != "rescale" or isinstance(value, bool):
            return value
        if value == "inverse_density":
            self.say(f"mergekit's `{self.method.name}` rescales by the L1 norm alone", path, hint='write `rescale = "l1"` if you mean that')
        return value != "none"

"""`[vars]`: constants that stand in for values as `"${name}"`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelbuild.errors import Problem
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.shown import kind, nearest, plain
from modelbuild.names import KeyPath

_MARK = re.compile(r"\$\{([^{}]*)(\}?)")
_DEPTH = 32  # no Modelfile goes deeper than 9: what does is left alone, for the schema to refuse
_PRINTABLE_BITS = 64


class _VariableError(ValueError):
    def __init__(self, what: str, facts: tuple[str, ...], hint: str) -> None:
        self.what, self.facts, self.hint = what, facts, hint
        super().__init__(what)


class _Substitution:
    """One pass over a document: what stands for what, and the problems met."""

    def __init__(self, variables: Mapping[str, Any], locator: Locator) -> None:
        self.variables = variables
        self.locator = locator
        self.used: set[str] = set()
        self.problems: dict[KeyPath, Problem] = {}

    def report(self, path: KeyPath, error: _VariableError) -> None:
        self.problems[path] = self.locator.problem(error.what, path, facts=error.facts, hint=error.hint)

    def walk(self, value: object, path: KeyPath) -> object:
        """Return `value` with every variable in it replaced; `value` itself stays as it is."""
        if isinstance(value, str) and "${" in value:
            try:
                return self.text(value)
            except _VariableError as error:
                self.report(path, error)
                return value
        if len(path) >= _DEPTH:
            return value
        if isinstance(value, list):
            return [self.walk(entry, (*path, index)) for index, entry in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.walk(entry, (*path, key)) for key, entry in value.items()}
        return value

    def text(self, text: str) -> object:
        """Replace the variables in one string; a string that is one variable becomes the value itself."""
        whole = _MARK.fullmatch(text)
        if whole and whole[2]:
            return self.lookup(whole[1])
        return _MARK.sub(self._inside, text)

    def lookup(self, name: str) -> object:
        self.used.add(name)
        if name in self.variables:
            return self.variables[name]
        known = ", ".join(plain(other) for other in list(self.variables)[:20]) or "none"
        hint = nearest(name, self.variables)
        raise _VariableError(
            f"no variable is called `{plain(name)}`", (f"in [vars]: {known}",), hint or "variables are defined in the table `[vars]`"
        )

    def _inside(self, mark: re.Match[str]) -> str:
        if not mark[2]:
            raise _VariableError("`${` without a name and `}` after it", (), "a variable is written `${name}`")
        value = self.lookup(mark[1])
        match value:
            case str():
                return value
            case bool():
                return str(value).lower()
            case int() if value.bit_length() <= _PRINTABLE_BITS:
                return str(value)
            case float():
                return repr(value)
        name = plain(mark[1])
        raise _VariableError(
            f"`${{{name}}}` is {kind(value)}, which has no place inside a longer string", (), f'let it be the whole value: "${{{name}}}"'
        )

    def check_variables(self) -> None:
        """Report variables that refer to variables."""
        nested = _VariableError("a variable may not refer to a variable", (), "write the value out")
        pending: list[tuple[KeyPath, object]] = [(("vars", name), value) for name, value in self.variables.items()]
        while pending:
            path, value = pending.pop()
            if isinstance(value, str) and "${" in value:
                self.report(path, nested)
            elif len(path) < _DEPTH and isinstance(value, list):
                pending += [((*path, index), entry) for index, entry in enumerate(value)]
            elif len(path) < _DEPTH and isinstance(value, dict):
                pending += [((*path, key), entry) for key, entry in value.items()]

    def check_edits(self) -> None:
        """Report variables that `--set` gives a value and nothing reads."""
        for edit in self.locator.edits:
            if edit.path[0] == "vars" and len(edit.path) > 1 and edit.path[1] not in self.used:
                name = str(edit.path[1])
                hint = nearest(name, self.used) or f'write "${{{plain(name)}}}" where its value belongs'
                self.report(edit.path, _VariableError(f"nothing uses the variable `{plain(name)}`", (), hint))


def substitute(document: Mapping[str, Any], locator: Locator) -> tuple[dict[str, Any], dict[KeyPath, Problem]]:
    """Return `document` with `"${name}"` replaced wherever a value stands outside `[vars]`, and what went wrong, by path.

    A whole string `"${name}"` takes the variable's value with its type; inside a longer string it is written as text.
    """
    variables = document.get("vars", {})
    if not isinstance(variables, dict):
        return dict(document), {}  # the schema says that [vars] must be a table
    substitution = _Substitution(variables, locator)
    substitution.check_variables()
    replaced = {key: value if key == "vars" else substitution.walk(value, (key,)) for key, value in document.items()}
    substitution.check_edits()
    return replaced, substitution.problems

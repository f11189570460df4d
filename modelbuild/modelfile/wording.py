"""The words for what the schema refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from modelbuild.errors import Problem
from modelbuild.modelfile import schema
from modelbuild.modelfile.kinds import Reason, Refusal
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.shown import LIMIT, found, nearest, plain
from modelbuild.modelfile.tables import Table, keys_of
from modelbuild.names import KeyPath, dotted

_EXPECTED: Mapping[Reason, str] = {
    "path": "a path, and paths hold no NUL character",
    "truth": "true or false",
    "integer": "an integer",
    "text": "a string",
    "unicode": "text, of which a surrogate by itself is none",
    "list": "a list",
    "table": "a table",
    "number": "a number",
    "finite": "a finite number",
    "integer size": "an integer of at most 64 bits",
    "natural": "from 0 to 2**64 - 1",
    "row": "from 0 to 2**31 - 1",
    "positive": "at least 1",
    "two layers": "two integers: the first layer, and the last + 1",
    "layer": "layers counted from 0",
    "bound": 'a number, or an expression such as "1.05 * best(parents)"',
    "hub": "a place on the hub: hf://namespace/name, or hf://namespace/name@branch",
    "share": "a number from 0 to 1",
    "size": 'a size such as "5GB" or "512 MiB"',
    "value": "a number, a string, true, false, or a list of numbers",
    "setting": "a number, a string, true, false, a list of numbers, or a list of rules",
}
"""What should stand there."""

_MISSING = {
    "method": "add `method = NAME`; `modelbuild methods` lists them",
    "from": "add `from = LOCATION`: hf://namespace/name, a directory or a .safetensors file",
    "inputs": "add `inputs = [NAME, …]`",
    "model": "add `model = NAME`",
    "layers": "add `layers = [first, last + 1]`",
    "value": "add `value = …`",
    "format": 'add `format = "gguf"`; docs/exports.md lists the others',
    "kind": "add `kind = KIND`: loads, finite, generate, perplexity, lm_eval or command",
    "text": "add `text = PATH`: what is to be predicted",
    "prompts": "add `prompts = [PROMPT, …]`",
    "tasks": "add `tasks = [NAME, …]`: tasks of lm-eval, or YAML files",
    "check": "add `check = NAME`: a check that gives a score",
    "of": "add `of = NAME`: the merge that is meant",
    "objective": "add `objective = NAME`: a check that gives a score",
    "space": 'add `space = { "merge.NAME.KEY" = { low = 0.0, high = 1.0 } }`',
    "run": "add `run = COMMAND`, which writes its score as JSON into {scores}",
    "source": 'add `source = "base"` or the name of a source or merge',
}

_BARE: Mapping[Reason, re.Pattern[str]] = {
    "truth": re.compile("true|false"),
    "integer": re.compile(r"-?[0-9]+"),
    "number": re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"),
}
"""What a string must look like to be right without its quotes."""


class Report:
    """Collects problems by path: the first one said about a path stands."""

    def __init__(self, locator: Locator) -> None:
        """Start without problems; `locator` finds their places."""
        self.locator = locator
        self.problems: dict[KeyPath, Problem] = {}

    def add(self, path: KeyPath, what: str, *, key: bool = False, facts: Sequence[str] = (), hint: str = "") -> None:
        """Report that `what` is wrong at `path`; `key` says that the key is at fault, not its value."""
        path = self.locator.written(path, key=key)
        self.problems.setdefault(path, self.locator.problem(what, path, key=key, facts=facts, hint=hint))


def refusals(refused: Sequence[Refusal], locator: Locator) -> dict[KeyPath, Problem]:
    """Word what the schema refused, by path."""
    report = Report(locator)
    for one in refused:
        _word(report, one, locator.written(one.path))
    return report.problems


def missing_key(report: Report, path: KeyPath, parent: Mapping[str, Any], what: str = "") -> None:
    """Report that `parent` lacks the last key of `path`: at the key it may have been misspelt as, if there is one."""
    key, owner = str(path[-1]), path[:-1]
    known = _keys(owner)
    what = what or f"`{short(owner)}` has no `{key}`"
    meant = f"did you mean `{key}`?"
    misspelt = next((other for other in parent if other not in known and nearest(other, known) == meant), None)
    if misspelt is None:
        report.add(path, what, hint=_MISSING.get(key, ""))
    else:
        report.add((*owner, misspelt), what, key=True, facts=(f"it has `{plain(misspelt)}`",), hint=meant)


def short(path: KeyPath) -> str:
    """Name a key without all that it stands in: `layers[0]`; a table of a section with it: `merge.skills`."""
    if len(path) == 2 and path[0] in ("source", "merge", "group", "export", "check", "search"):
        return plain(dotted(path))
    last = max((index for index, part in enumerate(path) if isinstance(part, str)), default=0)
    return plain(dotted(path[last:]))


@cache
def _tables() -> tuple[tuple[tuple[str, ...], type[Table]], ...]:
    """Return the tables of the format by where they stand; any other is a rule of a parameter."""
    from modelbuild.modelfile import after

    return (
        ((), after.ModelfileTable),
        (("source", "*"), schema.SourceTable),
        (("source", "*", "adapters", "*"), schema.AdapterTable),
        (("merge", "*"), schema.MergeTable),
        (("merge", "*", "tokenizer"), schema.TokenizerTable),
        (("merge", "*", "tokenizer", "tokens", "*"), schema.TokenTable),
        (("merge", "*", "output"), schema.OutputTable),
        (("merge", "*", "inputs", "*"), schema.InputTable),
        (("merge", "*", "slices", "*"), schema.SliceTable),
        (("merge", "*", "slices", "*", "inputs", "*"), schema.SliceInputTable),
        (("merge", "*", "experts", "*"), schema.ExpertTable),
        (("merge", "*", "shared_experts", "*"), schema.ExpertTable),
        (("export", "*"), after.ExportTable),
        (("check", "*"), after.CheckTable),
        (("check", "*", "prompts", "*"), after.PromptTable),
        (("search", "*"), after.SearchTable),
        (("search", "*", "space", "*"), after.RangeTable),
        (("cache",), schema.CacheTable),
    )


def _keys(path: KeyPath) -> tuple[str, ...]:
    """Return our own keys in the table at `path`; parameters of methods are not among them."""
    found = (
        table
        for known, table in _tables()
        if len(known) == len(path) and all(word in ("*", key) for word, key in zip(known, path, strict=True))
    )
    return keys_of(next(found, schema.RuleTable))


def _word(report: Report, refusal: Refusal, path: KeyPath) -> None:
    value, name = refusal.value, short(path)
    match refusal.reason:
        case "missing":
            missing_key(report, path, value)
        case "unknown":
            known = _keys(path[:-1])
            facts = (f"known here: {', '.join(known)}",)
            hint = nearest(str(path[-1]), known) or _unquoted_name(path, value)
            report.add(path, f"unknown key `{name}`", key=True, facts=facts, hint=hint)
        case "name":
            report.add(
                path,
                f'"{plain(str(value))}" cannot be a name',
                key=True,
                hint="names are made of letters, digits, `-`, `_` and `.`" + (", at most 200 of them" if len(str(value)) > LIMIT else ""),
            )
        case "version":
            report.add(
                path,
                f"this Modelfile is of version {plain(str(value))}, and only version {schema.FORMAT_VERSION} is known",
                hint=f"write `version = {schema.FORMAT_VERSION}`, or use a modelbuild that knows it",
            )
        case "empty text":
            report.add(path, f"`{name}` is empty", hint="leave it out, or write what it should be")
        case "empty list":
            report.add(path, f"`{name}` is empty", hint=_empty_list(name))
        case "no layer":
            _word_span(report, path, name, value)
        case "choice":
            known = refusal.choices
            hint = nearest(value, known) if isinstance(value, str) else ""
            report.add(path, f"`{name}` must be one of {', '.join(known)}", facts=(found(value),), hint=hint)
        case reason:
            expected = (_entry_of_models(path) if reason == "table" else "") or _EXPECTED[reason]
            report.add(path, f"`{name}` must be {expected}", facts=(found(value),), hint=_way_out(reason, path, value))


def _word_span(report: Report, path: KeyPath, name: str, layers: Sequence[int]) -> None:
    first, stop = layers
    span = f"`{name} = [{first}, {stop}]` holds no layer"
    what = f"empty slice: {span}" if _entry_of_models(path[:-1]) else span
    hint = f"`[{first}, {first + 1}]` is layer {first} alone" if first == stop else f"did you mean `{name} = [{stop}, {first}]`?"
    report.add(path, what, facts=("layers are written [first, last + 1]",), hint=hint)


def _empty_list(name: str) -> str:
    if name == "default":
        return "leave it out to build every merge that no other merge reads"
    return "name at least one model"


def _unquoted_name(path: KeyPath, value: object) -> str:
    """Return the hint for a node's name that TOML reads as several keys, `[source.llama-3.1]`, or "" where none is."""
    if len(path) != 3 or path[0] not in ("source", "merge"):
        return ""
    section, *names = map(str, path)
    while isinstance(value, dict) and not value.keys() & {"from", "method"}:
        if len(value) != 1:
            return ""
        name, value = next(iter(value.items()))
        names.append(name)
    return f'a name with a dot stands in quotes: `[{section}."{plain(".".join(names))}"]`' if isinstance(value, dict) else ""


def _entry_of_models(path: KeyPath) -> str:
    """Say what an entry of a list of models should be, or "" where `path` is none."""
    match path:
        case ("merge", _, "inputs", _):
            return "the name of a model, or a table with `model`"
        case ("merge", _, "slices", _) | ("merge", _, "slices", _, "inputs", _):
            return "a table with `model` and `layers`"
    return ""


def _way_out(reason: Reason, path: KeyPath, value: object) -> str:
    """Return the hint for a value of the wrong kind."""
    if reason == "setting":
        rule = f"a rule stands in a list: `{short(path)} = [{{ value = … }}]`" if isinstance(value, dict) else ""
        return nearest(str(path[-1]), _keys(path[:-1])) or _unquoted_name(path, value) or rule
    if reason == "list":
        return f"write `{short(path)} = [ … ]`"
    if isinstance(value, str) and reason == "table" and _entry_of_models(path):
        return f'write `{{ model = "{plain(value)}", layers = [first, last + 1] }}`'
    if isinstance(value, str) and (bare := _BARE.get(reason)) and bare.fullmatch(value):
        return f"write it without quotes: {plain(value)}"
    return ""

"""What spans several keys of a check: which keys go with which kind, and what they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from modelbuild.errors import did_you_mean
from modelbuild.modelfile.bounds import read_bound
from modelbuild.modelfile.evaluation import LOWER_IS_BETTER
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.modelfile.shown import plain
from modelbuild.modelfile.wording import Report, missing_key, short
from modelbuild.names import KeyPath, is_meant

_BOUNDS = ("min", "max", "retention")
_OF_ALL = ("kind", "of")
_OF_SCORES = (*_BOUNDS, "parents")
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "loads": (),
    "finite": (),
    "generate": ("prompts", "require", "forbid", "max_repetition", "max_new_tokens", "chat", "dtype"),
    "perplexity": ("text", "tensors", "window", "stride", "metric", "dtype", *_OF_SCORES),
    "lm_eval": ("tasks", "limit", "shots", "metric", "batch_size", "unsafe", "dtype", *_OF_SCORES),
    "command": ("run", "files", "timeout", "better", *_OF_SCORES),
}
_NEEDED = {"generate": "prompts", "perplexity": "text", "lm_eval": "tasks", "command": "run"}

PLACEHOLDERS = ("model", "name", "root", "scores")
"""What a command may hold in braces."""


def check_checks(checks: Mapping[str, dict[str, Any]], sources: Collection[str], merges: Collection[str], report: Report) -> None:
    """Report what is wrong between the keys of checks, and what they name that is not there."""
    for name, check in checks.items():
        path: KeyPath = ("check", name)
        kind = check.get("kind")
        if not isinstance(kind, str) or kind not in _OF_KIND:
            continue  # the schema's to say
        known = {key for keys in _OF_KIND.values() for key in keys}
        for key in (key for key in check if key in known and key not in _OF_KIND[kind]):
            goes = [one for one, keys in _OF_KIND.items() if key in keys]
            facts = (f"`{kind}` takes: {', '.join((*_OF_ALL, *_OF_KIND[kind]))}",)
            report.add((*path, key), f"`{key}` is of checks of kind {' or '.join(goes)}", key=True, facts=facts, hint="remove it")
        if kind in _NEEDED and _NEEDED[kind] not in check:
            missing_key(report, (*path, _NEEDED[kind]), check)
        for key in (key for key in _BOUNDS if key in check):
            _bound(check[key], (*path, key), (*sources, *merges), report)
        _names(check, path, sources, merges, report)
        _patterns(check, path, report)
        _of_texts(check, path, report)
        _placeholders(check.get("run"), (*path, "run"), report)


def _bound(written: object, path: KeyPath, models: Collection[str], report: Report) -> None:
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        return
    try:
        bound = read_bound(written)
    except ValueError as error:
        hint = 'write a number, or an expression such as "1.05 * best(parents)"'
        report.add(path, f"`{short(path)}` cannot be read", facts=(str(error),), hint=hint)
        return
    for model in (model for model in bound.models if model not in models):
        what, facts, hint = misnamed(model, f"no source or merge is called `{plain(model)}`", models)
        report.add(path, what, facts=facts, hint=hint)


def _strings(value: object) -> list[str]:
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str)]


def _names(check: Mapping[str, Any], path: KeyPath, sources: Collection[str], merges: Collection[str], report: Report) -> None:
    for at, pattern in _placed(check, path, "of"):
        if not any(is_meant(name, pattern) for name in merges):
            what, facts, hint = misnamed(pattern, f"no merge is called `{plain(pattern)}`", merges)
            report.add(at, what, facts=facts, hint=hint)
    models, parents = tuple(dict.fromkeys((*sources, *merges))), _strings(check.get("parents"))
    patterns = _strings(check.get("of")) or ["*"]
    targets = {name for name in merges if any(is_meant(name, pattern) for pattern in patterns)}
    if check.get("parents") == []:
        report.add((*path, "parents"), "`parents` names no model", hint="leave it out: then they are the sources that a merge rests on")
    elif len(targets) == 1 and targets == {*parents}:
        facts = (f"`{plain(parents[0])}` is what is checked, and its only parent",)
        report.add((*path, "parents"), "a model cannot be held against itself", facts=facts, hint="name another one, or leave it out")
    for at, name in _placed(check, path, "parents"):
        if name not in models:
            what, facts, hint = misnamed(name, f"no source or merge is called `{plain(name)}`", models)
            report.add(at, what, facts=facts, hint=hint)


def _placed(check: Mapping[str, Any], path: KeyPath, key: str) -> Iterator[tuple[KeyPath, str]]:
    """Yield the strings of a key that is one or a list of them, each with its own place."""
    value = check.get(key)
    for i, one in enumerate(_strings(value)):
        yield (*path, key, i) if isinstance(value, list) else (*path, key), one


def _patterns(check: Mapping[str, Any], path: KeyPath, report: Report) -> None:
    prompts = check.get("prompts")
    tables = [(check, path)] + [
        (one, (*path, "prompts", i)) for i, one in enumerate(prompts if isinstance(prompts, list) else ()) if isinstance(one, dict)
    ]
    for table, at in tables:
        for key in ("require", "forbid"):
            for pattern in _strings(table.get(key)):
                try:
                    re.compile(pattern)
                except (re.error, RecursionError, OverflowError) as error:
                    report.add((*at, key), f"`{plain(pattern)}` is no regular expression", facts=(str(error),), hint="correct it")


def _of_texts(check: Mapping[str, Any], path: KeyPath, report: Report) -> None:
    if check.get("kind") != "perplexity":
        return
    metric, texts = check.get("metric"), _strings(check.get("text"))
    if isinstance(metric, str) and metric not in LOWER_IS_BETTER:
        report.add((*path, "metric"), f"`metric` must be one of {', '.join(LOWER_IS_BETTER)}", hint=did_you_mean(metric, LOWER_IS_BETTER))
    tokens = [text.endswith(".safetensors") for text in texts]
    if any(tokens) and "tensors" not in check:
        report.add((*path, "text"), "tokens in a safetensors file need `tensors`", hint="name the tensors: `tensors = [NAME, …]`")
    elif tokens and not any(tokens) and "tensors" in check:
        report.add((*path, "tensors"), "`tensors` is of texts in safetensors files", key=True, hint="remove it")
    if any(tokens) and metric == "bits_per_byte":
        report.add((*path, "metric"), "tokens have no bytes to be counted", hint="use `loss` or `perplexity`")
    window, stride = check.get("window", 1024), check.get("stride")
    if isinstance(window, int) and isinstance(stride, int) and stride > window:
        report.add((*path, "stride"), "`stride` is larger than `window`", facts=(f"the window has {window} tokens",), hint="leave it out")


def _placeholders(run: object, path: KeyPath, report: Report) -> None:
    try:
        words = shlex.split(run) if isinstance(run, str) else _strings(run)
    except ValueError as error:
        report.add(path, "`run` cannot be split into words", facts=(str(error),), hint='write a list: `run = ["PROGRAM", "ARGUMENT"]`')
        return
    if (run and not words) or any("\0" in word for word in words):
        report.add(path, "`run` is no command", hint='write `run = ["PROGRAM", "ARGUMENT"]`')
    for word in _strings(run):
        for name in re.findall(r"\{(\w+)\}", word):
            if name not in PLACEHOLDERS:
                facts = (f"there are {', '.join(f'{{{one}}}' for one in PLACEHOLDERS)}",)
                report.add(path, f"`{{{plain(name)}}}` stands for nothing", facts=facts, hint=did_you_mean(name, PLACEHOLDERS))

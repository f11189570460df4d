"""What spans several keys of a search, and of a soup: what they name, and what a range holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from typing import Any

from modelbuild.errors import among, did_you_mean
from modelbuild.modelfile.checks import SOUP
from modelbuild.modelfile.evaluation import IN_MEMORY
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.modelfile.shown import plain
from modelbuild.modelfile.wording import Report, missing_key, short
from modelbuild.names import KeyPath

_MOST_VALUES = 100_000
_MOST_TRIALS = 5_000
"""All of them stand in the lock."""


def check_searches(
    searches: Mapping[str, dict[str, Any]], merges: Mapping[str, dict[str, Any]], checks: Mapping[str, dict[str, Any]], report: Report
) -> None:
    """Report what is wrong between the keys of searches, and what they name that is not there."""
    scored = [name for name, check in checks.items() if check.get("kind") in IN_MEMORY]
    for name, search in searches.items():
        path: KeyPath = ("search", name)
        of, objective = search.get("of"), search.get("objective")
        if isinstance(of, str) and of not in merges:
            what, facts, hint = misnamed(of, f"no merge is called `{plain(of)}`", merges)
            report.add((*path, "of"), what, facts=facts, hint=hint)
        for one in [objective] if isinstance(objective, str) else objective if isinstance(objective, list) else ():
            _objective(one, (*path, "objective"), scored, report)
        _size(search, path, report)
    for name, merge in merges.items():
        if merge.get("method") == SOUP:
            if "check" not in merge:
                missing_key(report, ("merge", name, "check"), merge)
            else:
                _objective(merge["check"], ("merge", name, "check"), scored, report)


def _size(search: Mapping[str, Any], path: KeyPath, report: Report) -> None:
    """Report ranges that make no sense, and searches that are too large."""
    trials, space, listed = search.get("trials"), search.get("space"), search.get("sampler") == "grid"
    if isinstance(trials, int) and trials > _MOST_TRIALS:
        report.add((*path, "trials"), f"a search has at most {_MOST_TRIALS} trials", hint="make several searches of it")
    axes = space if isinstance(space, dict) else {}
    for key, held in axes.items():
        if isinstance(held, dict):
            _range(held, (*path, "space", key), report, listed=listed)
    if listed and prod(len(one) for one in axes.values() if isinstance(one, list)) > _MOST_VALUES:
        report.add((*path, "space"), f"the grid has more than {_MOST_VALUES} points", hint='choose another sampler: `sampler = "random"`')


def _objective(name: object, path: KeyPath, scored: Collection[str], report: Report) -> None:
    if isinstance(name, str) and name not in scored:
        facts = (f"checks of kind {' or '.join(IN_MEMORY)}: {among(scored) or 'none'}", "candidates are not written for a command to read")
        report.add(path, f"no check `{plain(name)}` gives candidates a score", facts=facts, hint=did_you_mean(name, scored))


def _range(held: Mapping[str, Any], path: KeyPath, report: Report, *, listed: bool) -> None:
    name = short(path)
    if "values" in held:
        for key in (key for key in ("low", "high", "step", "log") if key in held):
            report.add((*path, key), "`values` are all there is", key=True, hint="remove it, or write `low` and `high` instead")
        return
    for key in (key for key in ("low", "high") if key not in held):
        missing_key(report, (*path, key), held, f"`{name}` has neither `values` nor `{key}`")
    low, high, step = (held.get(key) for key in ("low", "high", "step"))
    numbers = [one for one in (low, high) if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        report.add((*path, "low"), "`low` is not below `high`", hint="change one of them")
    if held.get("log") and numbers and numbers[0] <= 0:
        report.add((*path, "low"), "a logarithmic range begins above 0", hint="raise `low`")
    if isinstance(step, int | float) and len(numbers) == 2 and not (step > 0 and (numbers[1] - numbers[0]) / step <= _MOST_VALUES):
        report.add((*path, "step"), f"`step` makes no list of at most {_MOST_VALUES} values", hint="choose another one")
    if listed and "step" not in held:
        report.add(path, "a grid needs values: a list, or a range with a `step`", hint="add `step = …`")

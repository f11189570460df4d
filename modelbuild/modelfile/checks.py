"""What spans several keys of a Modelfile, which no single key's type can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelbuild.errors import Problem
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.shown import plain
from modelbuild.modelfile.wording import Report, missing_key, short
from modelbuild.names import KeyPath

MIXTURE = "moe"
"""The method that makes a mixture of experts: it is no merge of tensors, and has keys of its own."""

EXTRACTION, COMBINATION = "extract_lora", "merge_loras"
"""The methods whose results are LoRA adapters."""

SOUP = "greedy_soup"
"""The method whose inputs are chosen by a check: Wortsman et al., "Model soups", 2022, https://arxiv.org/abs/2203.05482, recipe 1."""

_MIXTURE = ("experts", "shared_experts", "gate", "experts_per_token")


def check(document: Mapping[str, Any], locator: Locator) -> dict[KeyPath, Problem]:
    """Return what is wrong between keys, by path.

    What is not even of the right kind is passed over: the schema reports it.
    """
    report = Report(locator)
    sources, merges = _tables(document.get("source")), _tables(document.get("merge"))
    for name, source in sources.items():
        if "fetch" in source and not str(source.get("from", "hf://")).startswith("hf://"):
            hint = "remove it; it is of sources on the hub, hf://namespace/name"
            report.add(("source", name, "fetch"), "`fetch` has no meaning for a source that lies here", key=True, hint=hint)
        if "pickles" in source and str(source.get("from", "")).startswith("hf://"):
            hint = "download it, and name the directory"
            report.add(("source", name, "pickles"), "`pickles` is of sources that lie here", key=True, hint=hint)
    for name, merge in merges.items():
        path = locator.written(("merge", name))
        if name in sources:
            other = locator.problem("", ("source", name), key=True)
            where = f"the source stands at {other.place}" if other.place else "the source comes from `--set`"
            report.add(path, f"`{plain(name)}` is both a source and a merge", key=True, facts=(where,), hint="rename one of them")
        _check_merge(merge, path, report)
    checks = _tables(document.get("check"))
    if checks:
        from modelbuild.modelfile.check_keys import check_checks

        check_checks(checks, sources, merges, report)
    if searches := _tables(document.get("search")):
        from modelbuild.modelfile.search_keys import check_searches

        check_searches(searches, merges, checks, report)
    _check_groups(document, sources, merges, report)
    groups = document.get("group")
    groups = groups if isinstance(groups, dict) else {}
    for name, export in _tables(document.get("export")).items():
        _check_export(name, export, {"source": sources, "merge": merges, "group": groups}, report)
    return report.problems


def _check_groups(document: Mapping[str, Any], sources: Mapping[str, Any], merges: Mapping[str, Any], report: Report) -> None:
    """Report groups that have the name of something else."""
    groups = document.get("group")
    for name in groups if isinstance(groups, dict) else ():
        for section, tables in (("source", sources), ("merge", {report.locator.written(("merge", one))[1] for one in merges})):
            if name in tables:
                other = report.locator.problem("", (section, name), key=True)
                facts = (f"the {section} stands at {other.place}",) if other.place else ()
                report.add(
                    ("group", name), f"`{plain(name)}` is both a {section} and a group", key=True, facts=facts, hint="rename one of them"
                )


_OF_FORMATS = {"type": ("gguf",), "pre_tokenizer": ("gguf",), "scales": ("fp8",), "converter": ("gguf", "command")}
"""Keys of an export, and the formats that they are of."""


def _check_export(name: str, export: dict[str, Any], others: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    path: KeyPath = ("export", name)
    for kind in (kind for kind, tables in others.items() if name in tables):
        report.add(path, f"`{plain(name)}` is both a {kind} and an export", key=True, hint="rename one of them")
    form = export.get("format")
    for key, forms in _OF_FORMATS.items():
        if key in export and isinstance(form, str) and form not in forms:
            facts = (f"it is of {' and '.join(forms)}",)
            report.add((*path, key), f"`{key}` has no meaning for the format {plain(form)}", key=True, facts=facts, hint="remove it")
    words = export.get("converter")
    if form == "command" and words is None:
        hint = 'add `converter = ["python", "convert.py", "{model}", "{out}"]`'
        report.add(path, f"`{short(path)}` has no `converter`", key=True, hint=hint)
    if isinstance(words, list) and not any("{out}" in word for word in words if isinstance(word, str)):
        report.add((*path, "converter"), "the converter is not told where to write", hint='let one of its words be "{out}"')


def _tables(section: object) -> dict[str, dict[str, Any]]:
    return {name: table for name, table in section.items() if isinstance(table, dict)} if isinstance(section, dict) else {}


def _entries(value: object, path: KeyPath) -> list[tuple[dict[str, Any], KeyPath]]:
    """Return the tables of a list, each with its path."""
    if not isinstance(value, list):
        return []
    return [(entry, (*path, index)) for index, entry in enumerate(value) if isinstance(entry, dict)]


def _tokens(tokenizer: object, path: KeyPath) -> list[tuple[dict[str, Any], KeyPath]]:
    """Return what is said of tokens, each with its path."""
    tokens = tokenizer.get("tokens") if isinstance(tokenizer, dict) else None
    return [(told, (*path, "tokens", token)) for token, told in _tables(tokens).items()]


def _check_merge(merge: dict[str, Any], path: KeyPath, report: Report) -> None:
    if merge.get("method") == MIXTURE:
        _check_mixture(merge, path, report)
        return
    for key in (key for key in _MIXTURE if key in merge):
        report.add((*path, key), f"`{key}` is of mixtures of experts", key=True, hint=f'write `method = "{MIXTURE}"`, or remove it')
    if "inputs" in merge and "slices" in merge:
        facts = (f"`inputs` stands at {place}",) if (place := report.locator.problem("", (*path, "inputs"), key=True).place) else ()
        report.add(
            (*path, "slices"),
            f"`{short(path)}` has both `inputs` and `slices`",
            key=True,
            facts=facts,
            hint="keep `inputs` to merge whole models, `slices` to choose layers",
        )
    elif "inputs" not in merge and "slices" not in merge:
        missing_key(report, (*path, "inputs"), merge, f"`{short(path)}` has neither `inputs` nor `slices`")
    for token, at in _tokens(merge.get("tokenizer"), (*path, "tokenizer")):
        if "token" in token and "id" in token:
            report.add((*at, "id"), "`token` and `id` both name the row", key=True, hint="keep one of them")
    for entry, at in _entries(merge.get("inputs"), (*path, "inputs")):
        if "layers" in entry:
            report.add(
                (*at, "layers"),
                "`layers` has no meaning among `inputs`, which are whole models",
                key=True,
                hint="choose layers with `slices = [{ model = NAME, layers = [first, last + 1] }]`",
            )
    for entry, at in _entries(merge.get("slices"), (*path, "slices")):
        _check_slice(entry, at, report)


def _check_mixture(merge: dict[str, Any], path: KeyPath, report: Report) -> None:
    for key in (key for key in ("inputs", "slices", "embed", "head", "scope", "vocabulary") if key in merge):
        report.add((*path, key), f"a mixture of experts has no `{key}`", key=True, hint="it has `base` and `experts`")
    for needed in (key for key in ("base", "experts") if key not in merge):
        missing_key(report, (*path, needed), merge, f"`{short(path)}` has no `{needed}`")


def _check_slice(entry: dict[str, Any], path: KeyPath, report: Report) -> None:
    if "inputs" not in entry:
        if "model" not in entry:
            missing_key(report, (*path, "model"), entry, f"`{short(path)}` has neither `model` nor `inputs`")
        elif "layers" not in entry:
            missing_key(report, (*path, "layers"), entry)
        return
    for key in ("model", "layers"):
        if key in entry:
            report.add(
                (*path, key),
                f"a slice with `inputs` has no `{key}` of its own",
                key=True,
                hint="write it in each input: `inputs = [{ model = NAME, layers = [first, last + 1] }]`",
            )

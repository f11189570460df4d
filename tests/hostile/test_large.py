"""Input that is large, deep or wide for the sake of it: told soon, and in little memory, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from tests.fuzz.judge import Verdict, judge
from tests.support.projects import Project

MERGE = '[source]\nb.from = "base"\n[merge.m]\nmethod = "linear"\ninputs = ["b"]\n'
MODELFILES = {
    "100,000 merges": "".join(f'[merge.m{i}]\nmethod = "linear"\ninputs = ["m{i + 1}"]\n' for i in range(100_000)),
    "100,000 merges in few bytes": "merge={" + ",".join(f"m{i}={{}}" for i in range(80_000)) + "}",
    "1,999 merges of nothing known": "".join(f'[merge.m{i}]\nmethod = "linear"\ninputs = ["x{i}"]\n' for i in range(1_999)),
    "1,999 merges in a circle": "".join(f'[merge.m{i}]\nmethod = "linear"\ninputs = ["m{(i + 1) % 1999}"]\n' for i in range(1_999)),
    "25,000 unknown inputs": MERGE.replace('["b"]', str([f"x{i}" for i in range(25_000)])),
    "25,000 unknown parameters": MERGE + "".join(f"p{i} = 1\n" for i in range(25_000)),
    "25,000 unknown targets": f"default = {[str(i) for i in range(25_000)]}\n{MERGE}",
    "25,000 rules": MERGE + "weight = [" + "{ value = 1 }, " * 25_000 + "]\n",
    "stars in a filter": MERGE + "weight = [{ filter = '" + "*a" * 10_000 + "', value = 1 }, { value = 1 }]\n",
    "a name of 300 letters": MERGE.replace("merge.m", "merge." + "m" * 300),
}
"""What each has of: more than a Modelfile may hold, or as much as it may, and wrong."""


def patiently(call: Callable[[], object], root: Path) -> Verdict:
    """Judge a case, and once more if it took long: processors that others use as well count more seconds for the same work."""
    verdict = judge(call, root)
    return judge(call, root) if any(fault.startswith("it took") for fault in verdict.faults) else verdict


@pytest.fixture
def models(project: Project) -> Project:
    """A project of two models."""
    project.family(1, ("code",))
    return project


@pytest.mark.parametrize("name", MODELFILES)
def test_a_modelfile_of_a_hundred_thousand_of_anything_is_told_soon(models: Project, name: str):
    """Within the judge's bounds, by its exit code, and in few words."""
    models.write(MODELFILES[name])

    verdict = patiently(lambda: use_cases.show(models.where, "m"), models.root)

    assert (Exit.USAGE, ()) == (verdict.code, verdict.faults)


def header(path: Path, raw: bytes, data: int = 0) -> None:
    """Write a safetensors file with a header of any bytes."""
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + data)


HEADERS: dict[str, Callable[[], bytes]] = {
    "tables": lambda: b'{"a":[' + b"{}," * 33_000_000 + b"{}]}",
    "lists": lambda: b'{"a":[' + b"[]," * 33_000_000 + b"[]]}",
    "numbers": lambda: b'{"a":[' + b"0," * 49_000_000 + b"0]}",
    "keys": lambda: b'{"__metadata__":{' + b'"":"",' * 16_000_000 + b'"":""}}',
    "one text": lambda: b'{"a":"' + b"x" * 99_000_000 + b'"}',
    "one number": lambda: b'{"a":' + b"9" * 99_000_000 + b"}",
    "brackets": lambda: b"[" * 100_000_000,
    "zeros": lambda: b"\0" * 100_000_000,
    "names, of which the last is there twice": lambda: b"{" + b"".join(b'"%d":0,' % i for i in range(240_000)) + b'"239999":0}',
    "names, of which the first is wrong": lambda: b"{" + b",".join(b'"%d":{}' % i for i in range(240_000)) + b"}",
}
"""A hundred million bytes each, which is the most that a header may have, or as many entries as it may."""


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_a_hundred_megabytes_is_told_soon(models: Project, name: str):
    """In less than a gigabyte, though JSON takes ten times its size where it is parsed."""
    models.write(MERGE.replace('["b"]', '["b", "b"]'))
    header(models.root / "base" / "model.safetensors", HEADERS[name]())

    verdict = patiently(lambda: use_cases.show(models.where, "m"), models.root)

    assert (Exit.SOURCE, ()) == (verdict.code, verdict.faults)


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 190_000, "- " * 99_000, "x: 1\n" * 39_000, "a: &a [x]\n" + "b: [" + "*a, " * 40_000 + "]\n"]
)
def test_a_recipe_of_as_much_as_it_may_hold_is_told_soon(project: Project, text: str):
    (project.root / "recipe.yml").write_text(text)

    verdict = patiently(lambda: use_cases.import_mergekit([project.root / "recipe.yml"]), project.root)

    assert (Exit.USAGE, ()) == (verdict.code, verdict.faults)

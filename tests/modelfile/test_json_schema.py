"""The JSON Schema for editors: it takes what the program takes, and marks the mistakes that people make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from jsonschema import Draft7Validator

from modelbuild.methods import installed, load
from modelbuild.modelfile.json_schema import json_schema
from modelbuild.modelfile.schema import MergeTable, keys_of
from tests.cli.conftest import Program, program
from tests.test_docs import MODELFILES, ROOT

__all__ = ["program"]

FILES = [pytest.param(path.read_text(), id=path.name) for path in (ROOT / "Modelfile.example.toml", *sorted(ROOT.glob("examples/**/*.toml")))
         if "[merge." in path.read_text()]  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = json_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


@pytest.mark.parametrize("text", [*FILES, *MODELFILES])
def test_every_modelfile_shown_is_valid(validator: Draft7Validator, text: str) -> None:
    assert [] == [error.message for error in validator.iter_errors(tomli.loads(text))]


RIGHT = """\
version = 1
[source.base]
from = "base"
[source.chat]
from = "chat"
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "chat", density = 0.5, weight = [0.2, 0.8] }]
normalize = true
[merge.stacked]
method = "passthrough"
slices = [{ model = "base", layers = [0, 2] }, { model = "skills", layers = [1, 2], scale = 0.5 }]
output = { shard_size = "5GB" }
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("density", "densitee"),
        ("density = 0.5", "density = 1.5"),
        ("density = 0.5", 'density = "0.5"'),
        ("density = 0.5", "normalize = true"),
        ('"ties"', '"tise"'),
        ('base = "base"\n', ""),
        ("normalize = true", "normalize = [0.0, 1.0]"),
        ("normalize = true", "t = 0.5"),
        ("normalize = true", 'dtype = "int8"'),
        ("normalize = true", 'rescale = "twice"'),
        ("normalize = true", "slices = []"),
        ("normalize = true", 'slices = [{ model = "base", layers = [0, 1] }]'),
        ("inputs = [", "inputs = [] #"),
        ("layers = [0, 2]", "layers = [0]"),
        ("layers = [0, 2]", "layers = [-1, 2]"),
        (", layers = [0, 2]", ""),
        ('from = "chat"', 'form = "chat"'),
        ("version = 1", "version = 2"),
        ("version = 1", "merges = 1"),
        ("5GB", "5 gigs"),
        ("merge.skills", 'merge."a b"'),
        ("[0.2, 0.8]", '[{ filter = "mlp" }]'),
        ("[0.2, 0.8]", '[{ filter = "mlp", values = 1 }]'),
    ],
)  # fmt: skip
def test_a_mistake_that_the_program_refuses_is_marked(validator: Draft7Validator, old: str, new: str) -> None:
    assert not list(validator.iter_errors(tomli.loads(RIGHT)))

    assert list(validator.iter_errors(tomli.loads(RIGHT.replace(old, new, 1))))


def test_every_key_and_every_parameter_is_in_it_with_its_range_and_what_it_means() -> None:
    definitions = json_schema()["$defs"]

    keys = {key for name, table in definitions.items() if "." not in name for key in table.get("properties", ())}
    assert {*keys_of(MergeTable)} <= keys
    for name in installed():
        for param in load(name).params:
            told = definitions[f"{name}.{param.name}"]
            assert told["description"], (name, param.name)
            number = told["anyOf"][0]
            assert param.low == number.get("minimum", float("-inf"))
            assert param.high == number.get("maximum", float("inf"))
            assert name in definitions


def test_the_command_prints_it(program: Program, tmp_path: Path) -> None:
    ended = program("schema", "-C", tmp_path)

    printed: dict[str, Any] = json.loads(ended.out)
    assert (0, json.loads(json.dumps(json_schema()))) == (ended.code, printed)

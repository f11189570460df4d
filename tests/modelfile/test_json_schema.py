"""The JSON Schema for editors: it takes what the program takes, and marks the mistakes that people make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomli
from jsonschema import Draft7Validator

from modelbuild.errors import ModelbuildError
from modelbuild.graph import bind
from modelbuild.methods import installed, load
from modelbuild.modelfile.after import ModelfileTable
from modelbuild.modelfile.checks import MIXTURE
from modelbuild.modelfile.json_schema import json_schema
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.parse import parse, validated
from modelbuild.modelfile.schema import (
    AdapterTable,
    CacheTable,
    ExpertTable,
    InputTable,
    MergeTable,
    OutputTable,
    RuleTable,
    SliceTable,
    SourceTable,
    TokenizerTable,
    TokenTable,
)
from modelbuild.modelfile.tables import keys_of
from modelbuild.usecases.starter import starter
from modelbuild.usecases.templates import TEMPLATES
from tests.cli.conftest import Program, program
from tests.fuzz.modelfiles import SOUND
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


SWEPT = (
    RIGHT
    + """\
[merge.skills.matrix]
density = [0.3, [0.1, 0.5]]
"inputs.chat.weight" = [1.0]
inputs.chat.density = [0.4, 0.5]
dtype = ["float32", "bfloat16"]
include = [{ density = 0.9, lambda = 0.5 }]
exclude = [{ dtype = "bfloat16", density = 0.3 }]
[group]
all = ["skills@*", "stacked"]
""".replace('"skills", layers', '"base", layers')
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("density = [0.3, [0.1, 0.5]]", "density = 0.3"),
        ("density = [0.3, [0.1, 0.5]]", "density = []"),
        ("density = [0.3, [0.1, 0.5]]", "density = [0.3, 1.5]"),
        ("density = [0.3, [0.1, 0.5]]", "density = [[{ value = 0.3 }]]"),
        ("density = [0.3, [0.1, 0.5]]", "densitee = [0.3]"),
        ('["float32", "bfloat16"]', '["float32", "int8"]'),
        ("lambda = 0.5 }", "lamda = 0.5 }"),
        ("[{ density = 0.9, lambda = 0.5 }]", "{ density = 0.9 }"),
        ('["skills@*", "stacked"]', '"stacked"'),
        ('["skills@*", "stacked"]', "[]"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_matrix_or_a_group_is_marked_and_refused(validator: Draft7Validator, old: str, new: str) -> None:
    right = SWEPT.replace('{ model = "skills",', '{ model = "base",')
    assert not list(validator.iter_errors(tomli.loads(right)))
    bind(parse(Path("m"), right))

    wrong = right.replace(old, new, 1)
    assert list(validator.iter_errors(tomli.loads(wrong)))
    with pytest.raises(ModelbuildError):
        bind(parse(Path("m"), wrong))


def test_a_merge_whose_methods_are_swept_is_valid(validator: Draft7Validator) -> None:
    text = '[source]\na.from = "a"\nb.from = "b"\n[merge.x]\ninputs = ["a", "b"]\nmatrix.method = ["linear", "karcher"]\n'

    assert not list(validator.iter_errors(tomli.loads(text)))
    assert 2 == len(bind(parse(Path("m"), text)).nodes)
    assert list(validator.iter_errors(tomli.loads(text.replace("karcher", "karchr"))))


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_valid(validator: Draft7Validator, template: str) -> None:
    text = starter(template, (), Path(), Path())

    assert [] == [error.message for error in validator.iter_errors(tomli.loads(text))]


def tables(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Yield every table of a document with its path."""
    if isinstance(value, dict):
        yield at, value
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from tables(one, (*at, key))


WHOLE = tomli.loads(SOUND) | {"default": ["release"]}
PLACES = [path for path, _ in tables(WHOLE) if path and path[0] != "vars" and path not in (("source",), ("merge",), ("group",))]


@pytest.mark.slow
@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_what_is_no_key_is_none_for_both_and_neither_takes_a_date(validator: Draft7Validator, path: tuple[str | int, ...]) -> None:
    """In every table of a Modelfile that has all there are."""
    for key, value in (("sede", 1), *((key, date(2026, 1, 1)) for key in here(WHOLE, path))):
        document = deepcopy(WHOLE)
        if path[-1] == "tokens":
            continue  # whatever a token is called
        here(document, path)[key] = value

        assert list(validator.iter_errors(document)), (path, key)
        with pytest.raises(ModelbuildError):
            bind(validated(document, Path("m"), Locator("m", ""), {}, ()))


def here(document: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        document = document[part]
    return document


def test_every_key_of_the_program_is_in_the_schema_and_every_key_of_the_schema_is_the_programs() -> None:
    schema = json_schema()
    definitions = schema["$defs"]

    assert {*keys_of(ModelfileTable)} == {*schema["properties"]}
    for table in (SourceTable, AdapterTable, TokenizerTable, TokenTable, OutputTable, ExpertTable, CacheTable):
        assert {*keys_of(table)} == {*definitions[table.__name__]["properties"]}
    own: set[str] = set()
    for name in installed():
        params = {param.name for param in load(name).params}
        table = definitions[name]["properties"]
        assert params <= {*table}
        own |= {*table} - params
        entry = table["inputs"]["anyOf"][0]["items"]["anyOf"][1]["properties"]
        assert {*keys_of(InputTable)} == {*entry} - params
        single, several = table["slices"]["anyOf"][0]["items"]["anyOf"]
        handed_on = {param.name for param in load("passthrough").params}
        assert {*keys_of(SliceTable)} == ({*single["properties"]} - handed_on) | ({*several["properties"]} - params)
    assert {*keys_of(MergeTable)} == own | {*definitions[MIXTURE]["properties"]}
    rule = definitions["slerp.t"]["anyOf"][-1]["items"]["properties"]
    assert {*keys_of(RuleTable)} == {*rule}

"""`--set KEY=VALUE`."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.errors import ModelbuildError
from modelbuild.modelfile.edits import read_edit
from modelbuild.modelfile.parse import parse

TEXT = """\
[vars]
blend = 0.4
[source.a]
from = "a"
[merge."x.y"]
method = "m"
inputs = ["a", { model = "b", weight = 1 }]
t = "${blend}"
"""


def edited(*overrides: str):
    """Parse with edits; return the merge."""
    return parse(Path("m.toml"), TEXT, overrides).merges["x.y"]


def refused(*overrides: str) -> str:
    """Parse with edits that cannot be made; return the words."""
    with pytest.raises(ModelbuildError) as caught:
        parse(Path("m.toml"), TEXT, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("a=1", ("a",), 1),
        ("a.b.c=0.5", ("a", "b", "c"), 0.5),
        ("a=true", ("a",), True),
        ("a=True", ("a",), "True"),
        ("a=text", ("a",), "text"),
        ("a='1'", ("a",), "1"),
        ("a=", ("a",), ""),
        ("a=b=c", ("a",), "b=c"),
        ("a = [1, 2]", ("a",), [1, 2]),
        ("a=[1, 2", ("a",), "[1, 2"),
        ("a={ b = 1 }", ("a",), {"b": 1}),
        ("a=1 # one", ("a",), "1 # one"),
        ("a=1\nb=2", ("a",), "1\nb=2"),
        ("a=2024-01-01", ("a",), "2024-01-01"),
        ("a=hf://x/y@main", ("a",), "hf://x/y@main"),
        ('a."b.c".d=1', ("a", "b.c", "d"), 1),
        ("a.'b.c'=1", ("a", "b.c"), 1),
        ("a.b[0].c=1", ("a", "b", 0, "c"), 1),
        ("a.b.0.c=1", ("a", "b", "0", "c"), 1),
    ],
)
def test_an_edit_is_a_dotted_key_and_a_value(text: str, path: tuple[str | int, ...], value: object):
    """The value is TOML, and where it is not it is the text itself."""
    assert (path, value) == read_edit(text)


def test_edits_change_values_before_variables_are_replaced():
    """So a variable can be set, and a value can be set to a variable."""
    assert 0.9 == edited("vars.blend=0.9").params["t"][0].value
    assert 0.4 == edited('merge."x.y".k=${blend}').params["k"][0].value


@pytest.mark.parametrize("key", ["inputs[1]", "inputs.1"])
def test_an_entry_of_a_list_is_edited_by_its_position(key: str):
    """Positions count from 0, in brackets or as a part of the key."""
    assert 2 == edited(f'merge."x.y".{key}.weight=2').inputs[1].params["weight"][0].value


def test_a_bare_input_takes_a_parameter():
    """A bare name is { model = NAME }."""
    bare = edited('merge."x.y".inputs[0].weight=2').inputs[0]

    assert ("a", 2) == (bare.model, bare.params["weight"][0].value)


def test_the_last_of_several_edits_wins():
    """They are applied in order."""
    assert 3 == edited('merge."x.y".k=2', 'merge."x.y".k=3').params["k"][0].value


def test_a_whole_node_can_be_added():
    """With all that it needs, in one edit."""
    parsed = parse(Path("m.toml"), TEXT, ['source.new={ from = "n" }'])

    assert "n" == parsed.sources["new"].location


REFUSED = {
    "seed": """\
error: `--set` needs `=` right after the key `seed`
  from: `--set seed`
hint: write `--set KEY=VALUE`, for instance `--set merge.blend.t=0.5` or `--set merge.blend.inputs[0].weight=2`""",
    "=1": """\
error: `--set` needs a key before the `=`
  from: `--set =1`
hint: write `--set KEY=VALUE`, for instance `--set merge.blend.t=0.5` or `--set merge.blend.inputs[0].weight=2`""",
    'merge."x.y".inputs[2].weight=1': """\
error: `merge."x.y".inputs` has no entry [2]
  from: `--set merge."x.y".inputs[2].weight=1`
hint: it has 2, counted from [0]""",
    'merge."x.y".inputs.weight=1': """\
error: `merge."x.y".inputs` is a list: `weight` is no position in it
  from: `--set merge."x.y".inputs.weight=1`
hint: say which entry: `merge."x.y".inputs[0]`""",
    'merge."x.y".t.value=1': """\
error: `merge."x.y".t` is a string, and `value` cannot be set inside it
  from: `--set merge."x.y".t.value=1`""",
    'merge."x.y"[0]=1': """\
error: `merge."x.y"` is a table: it has no entry [0]
  from: `--set merge."x.y"[0]=1`""",
    'merge."x.y".k[0]=1': """\
error: there is no list at `merge."x.y".k`
  from: `--set merge."x.y".k[0]=1`""",
    "merge.xy.t=1": """\
error: no merge is called `xy`
  from: `--set merge.xy.t=1`
hint: did you mean `x.y`?""",
    "merge.x.y.t=1": """\
error: no merge is called `x`
  from: `--set merge.x.y.t=1`
hint: a name with a dot stands in quotes: `merge."x.y"`""",
    'merge."x.y@t=1".t=1': """\
error: `x.y@t=1` is made by the matrix of `x.y`
  from: `--set merge."x.y@t=1".t=1`
hint: set that: `--set merge."x.y".matrix.KEY=[VALUE]`""",
    "source.other.from=1": """\
error: no source is called `other`
  from: `--set source.other.from=1`
hint: to add one, set it whole: `--set source.other={ … }`""",
    "vars.blnd=1": """\
error: nothing uses the variable `blnd`
  --> `vars.blnd`
  from: `--set vars.blnd=1`
hint: did you mean `blend`?""",
    "mrge.x.t=1": """\
error: unknown key `mrge`
  --> `mrge`
  known here: version, default, seed, vars, source, merge, group, cache, check, search, export
  from: `--set mrge.x.t=1`
hint: did you mean `merge`?""",
    "seed=one": """\
error: `seed` must be an integer
  --> `seed`
  found: "one", a string
  from: `--set seed=one`""",
    "seed=${blend}": """\
error: `seed` must be an integer
  --> `seed`
  found: 0.4, a float
  from: `--set seed=${blend}`""",
    "seed=\udcff": """\
error: `--set` takes UTF-8 text
  from: `--set seed=\\udcff`
hint: write `--set KEY=VALUE`, for instance `--set merge.blend.t=0.5` or `--set merge.blend.inputs[0].weight=2`""",
}


@pytest.mark.parametrize("override,words", REFUSED.items(), ids=ascii)  # noqa: PT006
def test_an_edit_that_cannot_be_made_is_an_error(override: str, words: str):
    """It names the option, for it stands in no file."""
    assert words == refused(override)


def test_errors_of_the_file_come_before_those_of_edits():
    """All are reported at once."""
    with pytest.raises(ModelbuildError) as caught:
        parse(Path("m.toml"), "sed = 1\n", ["seed", "default=1"])

    assert ["unknown key `sed`", "`default` must be a list", "`--set` needs `=` right after the key `seed`"] == [
        problem.what for problem in caught.value.problems
    ]

"""`[merge.x.matrix]`: which variants there are, what they are called, and where what is wrong with them stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.errors import ModelbuildError
from modelbuild.graph import bind
from modelbuild.modelfile.model import Modelfile
from modelbuild.modelfile.parse import parse
from modelbuild.modelfile.sweep import points, shown

SOURCES = """\
[source]
base.from = "base"
code.from = "code"
"""
MERGE = """\
[merge.x]
method = "ties"
base = "base"
inputs = ["code"]
"""


def read(text: str, *overrides: str) -> Modelfile:
    """Parse and bind a Modelfile."""
    modelfile = parse(Path("Modelfile.toml"), text, overrides)
    bind(modelfile)
    return modelfile


def swept(matrix: str, merge: str = MERGE) -> Modelfile:
    """Read one merge with a matrix."""
    return read(f"{SOURCES}{merge}[merge.x.matrix]\n{matrix}\n")


def said(text: str) -> str:
    with pytest.raises(ModelbuildError) as caught:
        read(text)
    return str(caught.value)


def test_variants_are_called_by_their_values_in_the_order_declared():
    modelfile = swept("density = [0.50, 1.0]\nlambda = [1, 2e-7]")

    assert [
        "x@density=0.5,lambda=1",
        "x@density=0.5,lambda=2e-07",
        "x@density=1,lambda=1",
        "x@density=1,lambda=2e-07",
    ] == [*modelfile.merges]
    assert {"x": tuple(modelfile.merges)} == modelfile.sweeps
    assert {"density": 0.5, "lambda": 2e-7} == modelfile.merges["x@density=0.5,lambda=2e-07"].point


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ("inputs.code.weight = [0.5]", ["x@inputs.code.weight=0.5"]),
        ('"inputs.code.weight" = [0.5]', ["x@inputs.code.weight=0.5"]),
        ('"inputs[0].weight" = [0.5]', ["x@inputs.0.weight=0.5"]),
        ("weight = [[0, 0.5, 1.0], 1]", ["x@weight=0_0.5_1", "x@weight=1"]),
        ('method = ["ties", "dare_ties"]', ["x@method=ties", "x@method=dare_ties"]),
        ("normalize = [true, false]", ["x@normalize=true", "x@normalize=false"]),
        ('scope = ["*.mlp.*"]', ["x@scope=-.mlp.-"]),
    ],
    ids=["dotted", "quoted", "by position", "gradients", "methods", "booleans", "text"],
)
def test_whatever_a_merge_takes_can_be_swept(matrix: str, names: list[str]):
    assert names == [*swept(matrix).merges]


def test_a_value_of_a_rule_can_be_swept_and_so_can_variables():
    merge = f'[vars]\nshares = [0.2, 0.4]\n{SOURCES}[merge.x]\nmethod = "slerp"\ninputs = ["base", "code"]\n'
    modelfile = read(merge + 't = [{ filter = "mlp", value = 0.1 }, { value = 0.5 }]\nmatrix = { "t[0].value" = "${shares}" }\n')

    assert ["x@t.0.value=0.2", "x@t.0.value=0.4"] == [*modelfile.merges]
    assert [0.2, 0.5] == [rule.value for rule in modelfile.merges["x@t.0.value=0.2"].params["t"]]


def test_include_and_exclude_are_those_of_github_actions():
    """The example of GitHub's documentation on `include`, with its fruits, animals, colours and shapes."""
    matrix = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }
    made = [{one.label: one.value for one in point} for point in points(matrix)]

    assert made == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    without = points({**matrix, "exclude": [{"fruit": "apple", "animal": "dog"}, {"fruit": "pear"}]})
    assert ["cat", None, "cat"] == [next((one.value for one in point if one.label == "animal"), None) for point in without]
    assert [{"t": 1}] == [{one.label: one.value for one in point} for point in points({"include": [{"t": 1}]})]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_numbers_share_a_name_when_they_are_equal_and_only_then(one: float, other: float):
    assert (one == other) == (shown(one) == shown(other))
    assert one == float(shown(one))
    assert not one.is_integer() or abs(one) >= 1e16 or shown(one) == shown(int(one))


ERRORS = {
    "an unknown parameter": (
        "densitee = [0.3]",
        """\
error: unknown key `densitee`
  --> Modelfile.toml:9:1, at `merge.x.matrix.densitee`
  `ties` takes: density, weight, trim, elect, rescale, normalize, lambda, int8_mask
hint: did you mean `density`?""",
    ),
    "a value out of range": (
        "density = [0.3,\n  1.5]",
        """\
error: `density` cannot have this value
  --> Modelfile.toml:10:3, at `merge.x.matrix.density[1]`
  expected a number from 0 to 1, found 1.5
hint: `modelbuild methods ties` shows what it takes""",
    ),
    "a key of ours": (
        'dtype = ["float32", "int8"]',
        """\
error: `dtype[1]` must be one of float32, float16, bfloat16, float64
  --> Modelfile.toml:9:21, at `merge.x.matrix.dtype[1]`
  found: "int8", a string""",
    ),
    "no list": (
        "density = 0.3",
        """\
error: `density` must be a list of values
  --> Modelfile.toml:9:11, at `merge.x.matrix.density`
  found: 0.3, a float
hint: write `density = [ … ]`""",
    ),
    "rules": (
        "density = [[{ value = 0.3 }]]",
        """\
error: `density[0]` must be a number, a string, true, false, or a list of numbers
  --> Modelfile.toml:9:12, at `merge.x.matrix.density[0]`
  found: a list of 1
hint: sweep a value of a rule: `"t[0].value" = [0.3, 0.5]`""",
    ),
    "the same twice": (
        "density = [1, 1.0]",
        """\
error: `1` stands twice in `density`
  --> Modelfile.toml:9:15, at `merge.x.matrix.density[1]`
hint: remove one of them""",
    ),
    "an input that is none": (
        "inputs.coed.weight = [1]",
        """\
error: `merge."x@inputs.coed.weight=1".inputs` is a list: `coed` is no position in it
  --> Modelfile.toml:9:23, at `merge.x.matrix.inputs.coed.weight[0]`
  in the matrix: `inputs.coed.weight`
hint: say which entry: `merge."x@inputs.coed.weight=1".inputs[0]`""",
    ),
    "what excludes nothing": (
        "density = [0.3]\nexclude = [{ density = 0.4 }]",
        """\
error: this excludes nothing
  --> Modelfile.toml:10:12, at `merge.x.matrix.exclude[0]`
hint: give values that the lists have, or remove it""",
    ),
    "what excludes everything": (
        "density = [0.3]\nexclude = [{ density = 0.3 }]",
        """\
error: every point of the matrix is excluded
  --> Modelfile.toml:8:10, at `merge.x.matrix`
hint: exclude fewer""",
    ),
    "what excludes by something else": (
        "density = [0.3]\nexclude = [{ lambda = 0.3 }]",
        """\
error: `lambda` is not swept
  --> Modelfile.toml:10:14, at `merge.x.matrix.exclude[0].lambda`
  in the matrix: density""",
    ),
    "nothing": (
        "",
        """\
error: the matrix is empty
  --> Modelfile.toml:8:10, at `merge.x.matrix`
hint: name a parameter and its values: `t = [0.3, 0.5]`""",
    ),
    "too many": (
        f"density = {[i / 3000 for i in range(2001)]}",
        """\
error: there are more than 2000 variants
  --> Modelfile.toml:8:10, at `merge.x.matrix`
  `merge.x.matrix` makes 2001
hint: sweep fewer values""",
    ),
}


@pytest.mark.parametrize(("matrix", "words"), ERRORS.values(), ids=ERRORS)
def test_what_is_wrong_with_a_matrix_is_said_once_and_in_its_place(matrix: str, words: str):
    assert words == said(f"{SOURCES}{MERGE}[merge.x.matrix]\n{matrix}\n")


@pytest.mark.parametrize("key", ["model", "value", "layers"])
def test_keys_of_entries_beside_a_matrix_of_them_are_no_keys_of_a_merge(key: str):
    """They stand where no entry of a list is, so that none is made by them."""
    assert f"error: unknown key `{key}`" in said(f"{SOURCES}{MERGE}{key} = 1\n[merge.x.matrix]\n{key} = [1, 2]\n")


def test_what_reads_a_merge_with_a_matrix_has_to_name_a_variant():
    reads = '[merge.y]\nmethod = "linear"\ninputs = ["base", "{}"]\n'.replace("{}", "x")
    text = f"{SOURCES}{MERGE}matrix = {{ density = [0.3, 0.5] }}\n{reads}"

    assert """\
error: `x` is made several times, by its matrix
  --> Modelfile.toml:11:19, at `merge.y.inputs[1].model`
  variants: x@density=0.3, x@density=0.5
hint: name one of them: `x@density=0.3`""" == said(text)
    assert "y" in read(text.replace('"x"', '"x@density=0.3"')).merges


def test_names_with_an_at_sign_are_the_programs_alone():
    assert '"x@t=1" cannot be a name' in said(f'{SOURCES}[merge."x@t=1"]\nmethod = "linear"\ninputs = ["base"]\n')


def test_an_output_path_holds_the_variants_apart():
    with_path = MERGE + 'output.path = "{}"\n'

    assert ["o/0.3-of-x", "o/0.5-of-x"] == [
        one.output.path for one in swept("density = [0.3, 0.5]", with_path.replace("{}", "o/{density}-of-x")).merges.values()
    ]
    assert ["o/density=0.3,seed=1"] == [
        one.output.path for one in swept("density = [0.3]\nseed = [1]", with_path.replace("{}", "o/{variant}")).merges.values()
    ]
    assert """\
error: variants would be written to one directory
  --> Modelfile.toml:8:15, at `merge.x.output.path`
  `x@density=0.3` and `x@density=0.5` both get `o`
hint: let it say which: `path = "o/{variant}"`""" == said(
        f"{SOURCES}{with_path.replace('{}', 'o')}[merge.x.matrix]\ndensity = [0.3, 0.5]\n"
    )
    assert """\
error: nothing is called `{densty}`
  --> Modelfile.toml:8:15, at `merge.x.output.path`
  known here: {variant}, {density}
hint: did you mean `density`?""" == said(f"{SOURCES}{with_path.replace('{}', 'o/{densty}')}[merge.x.matrix]\ndensity = [0.3, 0.5]\n")


def test_a_value_beside_the_matrix_that_no_variant_reads_is_noted():
    beside = MERGE + "density = 0.9\n"

    assert ("`density` of `x` has no effect beside its matrix, from which every variant has its own",) == swept(
        "density = [0.3]", beside
    ).notes
    some = swept("lambda = [1.0, 2.0]\ninclude = [{ lambda = 1.0, density = 0.3 }]", beside)
    assert () == some.notes
    assert [0.3, 0.9] == [one.params["density"][0].value for one in some.merges.values()]


def test_a_sweep_that_no_input_reads_is_noted():
    """Precedence: the input's own value goes before that of the merge."""
    own = MERGE.replace('["code"]', '[{ model = "code", density = 0.9 }, { model = "base", density = [{ filter = "mlp", value = 0.5 }] }]')
    note = "`density` in the matrix of `x` has no effect: every input has its own; sweep `inputs.NAME.density`"

    assert note not in swept("density = [0.3, 0.5]", own).notes
    assert note in swept("density = [0.3, 0.5]", own.replace("0.5 }]", "0.5 }, { value = 0.3 }]")).notes
    assert note not in swept("density = [0.3, 0.5]").notes


@pytest.mark.parametrize(
    ("merge", "matrix"),
    [
        ('density = [{ filter = "mlp", value = 0.9 }, { value = 0.5 }]', '"density[0].value" = [0.3, 0.5]'),
        ("density = [0.9, 0.5]", '"density[0]" = [0.3, 0.5]'),
    ],
    ids=["a rule's value", "a value of a gradient"],
)
def test_a_value_that_has_to_stand_beside_the_matrix_is_not_noted(merge: str, matrix: str):
    """A rule without a value is none, and a list without an entry is another list."""
    assert () == swept(matrix, f"{MERGE}{merge}\n").notes


def test_set_edits_a_matrix():
    modelfile = read(
        f"{SOURCES}{MERGE}[merge.x.matrix]\ndensity = [0.3]\n", "merge.x.matrix.density=[0.1, 0.2]", "merge.x.inputs.code.weight=2"
    )

    assert ["x@density=0.1", "x@density=0.2"] == [*modelfile.merges]
    assert 2 == modelfile.merges["x@density=0.1"].inputs[0].params["weight"][0].value


GROUPS = f'{SOURCES}{MERGE}matrix = {{ density = [0.3, 0.5] }}\n[merge.y]\nmethod = "linear"\ninputs = ["base"]\n[group]\n'


def test_default_may_name_groups_globs_and_sweeps():
    modelfile = read('default = ["all"]\n' + GROUPS + 'all = ["some", "x@*"]\nsome = ["y", "x@density=0.5"]\n')

    assert ("y", "x@density=0.5", "x@density=0.3") == bind(modelfile).default


def test_what_is_wrong_with_groups_is_said():
    assert """\
error: no merge is called `z`
  --> Modelfile.toml:13:11, at `group.a[1]`
  declared: x, y, a, b, c

error: no merge matches `y@*`
  --> Modelfile.toml:13:16, at `group.a[2]`
  declared: x, y, a, b, c
hint: did you mean `x@*`?

error: the group `b` is a member of itself
  --> Modelfile.toml:14:1, at `group.b`
  `b` -> `c` -> `b`
hint: leave one of them out""" == said(GROUPS + 'a = ["y", "z", "y@*"]\nb = ["c"]\nc = ["b", "y"]\n')
    assert """\
error: `base` is both a source and a group
  --> Modelfile.toml:13:1, at `group.base`
  the source stands at Modelfile.toml:2:1
hint: rename one of them

error: `x` is both a merge and a group
  --> Modelfile.toml:14:1, at `group.x`
  the merge stands at Modelfile.toml:4:8
hint: rename one of them""" == said(GROUPS + 'base = ["y"]\nx = ["y"]\n')
    assert "`some` is a group, and no model" in said(GROUPS.replace('["base"]', '["base", "some"]') + 'some = ["x"]\n')

"""What is wrong with the values of a Modelfile, in words: each error pinned as the terminal shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.errors import Exit, ModelbuildError
from modelbuild.modelfile.parse import parse

MERGE = '[merge.x]\nmethod = "m"\n'
WITH_INPUTS = MERGE + 'inputs = ["a"]\n'


def said(text: str) -> str:
    """Parse a text that is wrong; return all that is said."""
    with pytest.raises(ModelbuildError) as caught:
        parse(Path("Modelfile.toml"), text)
    assert Exit.USAGE == caught.value.exit_code
    return str(caught.value)


VALUES = {
    "another version": (
        "version = 2\n",
        """\
error: this Modelfile is of version 2, and only version 1 is known
  --> Modelfile.toml:1:11, at `version`
hint: write `version = 1`, or use a modelbuild that knows it""",
    ),
    "boolean for a number": (
        "seed = true\n",
        """\
error: `seed` must be an integer
  --> Modelfile.toml:1:8, at `seed`
  found: true, a boolean""",
    ),
    "string for a number": (
        'seed = "3"\n',
        """\
error: `seed` must be an integer
  --> Modelfile.toml:1:8, at `seed`
  found: "3", a string
hint: write it without quotes: 3""",
    ),
    "number for a boolean": (
        WITH_INPUTS + "keep = 1\n",
        """\
error: `keep` must be true or false
  --> Modelfile.toml:4:8, at `merge.x.keep`
  found: 1, an integer""",
    ),
    "string for a list": (
        'default = "x"\n',
        """\
error: `default` must be a list
  --> Modelfile.toml:1:11, at `default`
  found: "x", a string
hint: write `default = [ … ]`""",
    ),
    "empty default": (
        "default = []\n",
        """\
error: `default` is empty
  --> Modelfile.toml:1:11, at `default`
hint: leave it out to build every merge that no other merge reads""",
    ),
    "seed out of range": (
        "seed = -1\n",
        """\
error: `seed` must be from 0 to 2**64 - 1
  --> Modelfile.toml:1:8, at `seed`
  found: -1, an integer""",
    ),
    "unknown dtype": (
        WITH_INPUTS + 'dtype = "bf16"\n',
        """\
error: `dtype` must be one of float32, float16, bfloat16, float64
  --> Modelfile.toml:4:9, at `merge.x.dtype`
  found: "bf16", a string
hint: did you mean `bfloat16`?""",
    ),
    "size without a unit we know": (
        '[cache]\nmax_size = "5 GO"\n',
        """\
error: `max_size` must be a size such as "5GB" or "512 MiB"
  --> Modelfile.toml:2:12, at `cache.max_size`
  found: "5 GO", a string""",
    ),
    "empty string": (
        '[source.a]\nfrom = ""\n',
        """\
error: `from` is empty
  --> Modelfile.toml:2:8, at `source.a.from`
hint: leave it out, or write what it should be""",
    ),
    "parameter that is no number": (
        WITH_INPUTS + "t = nan\n",
        """\
error: `t` must be a finite number
  --> Modelfile.toml:4:5, at `merge.x.t`
  found: nan, a float""",
    ),
    "parameter that is a date": (
        WITH_INPUTS + "t = 1979-05-27\n",
        """\
error: `t` must be a number, a string, true, false, a list of numbers, or a list of rules
  --> Modelfile.toml:4:5, at `merge.x.t`
  found: 1979-05-27, a date or time""",
    ),
    "parameter that is an empty list": (
        WITH_INPUTS + "t = []\n",
        """\
error: `t` must be a number, a string, true, false, a list of numbers, or a list of rules
  --> Modelfile.toml:4:5, at `merge.x.t`
  found: an empty list""",
    ),
    "rule outside of a list": (
        WITH_INPUTS + "t = { value = 1 }\n",
        """\
error: `t` must be a number, a string, true, false, a list of numbers, or a list of rules
  --> Modelfile.toml:4:5, at `merge.x.t`
  found: a table
hint: a rule stands in a list: `t = [{ value = … }]`""",
    ),
    "gradient with a string": (
        WITH_INPUTS + 't = [0.1, "0.5"]\n',
        """\
error: `t[1]` must be a number
  --> Modelfile.toml:4:11, at `merge.x.t[1]`
  found: "0.5", a string
hint: write it without quotes: 0.5""",
    ),
    "`outside` that is no number": (
        WITH_INPUTS + 't = [{ value = [0.1, 0.2], outside = "0" }]\n',
        """\
error: `outside` must be a number
  --> Modelfile.toml:4:38, at `merge.x.t[0].outside`
  found: "0", a string
hint: write it without quotes: 0""",
    ),
    "rules with a number": (
        WITH_INPUTS + "t = [{ value = 1 }, 0.5]\n",
        """\
error: `t[1]` must be a table
  --> Modelfile.toml:4:21, at `merge.x.t[1]`
  found: 0.5, a float""",
    ),
    "rule without a value": (
        WITH_INPUTS + 't = [{ filter = "mlp" }]\n',
        """\
error: `t[0]` has no `value`
  --> Modelfile.toml:4:6, at `merge.x.t[0].value`
hint: add `value = …`""",
    ),
    "rule in a rule": (
        WITH_INPUTS + "t = [{ value = [{ value = 1 }] }]\n",
        """\
error: `value` must be a number, a string, true, false, or a list of numbers
  --> Modelfile.toml:4:16, at `merge.x.t[0].value`
  found: a list of 1""",
    ),
    "rule for no layer": (
        WITH_INPUTS + "t = [{ value = 1, layers = [8, 8] }]\n",
        """\
error: `layers = [8, 8]` holds no layer
  --> Modelfile.toml:4:28, at `merge.x.t[0].layers`
  layers are written [first, last + 1]
hint: `[8, 9]` is layer 8 alone""",
    ),
}

MODELS = {
    "empty slice": (
        MERGE + 'slices = [{ model = "a", layers = [8, 8] }]\n',
        """\
error: empty slice: `layers = [8, 8]` holds no layer
  --> Modelfile.toml:3:35, at `merge.x.slices[0].layers`
  layers are written [first, last + 1]
hint: `[8, 9]` is layer 8 alone""",
    ),
    "slice backwards": (
        MERGE + 'slices = [{ inputs = [{ model = "a", layers = [8, 2] }] }]\n',
        """\
error: empty slice: `layers = [8, 2]` holds no layer
  --> Modelfile.toml:3:47, at `merge.x.slices[0].inputs[0].layers`
  layers are written [first, last + 1]
hint: did you mean `layers = [2, 8]`?""",
    ),
    "slice before the first layer": (
        MERGE + 'slices = [{ model = "a", layers = [-2, 2] }]\n',
        """\
error: `layers` must be layers counted from 0
  --> Modelfile.toml:3:35, at `merge.x.slices[0].layers`
  found: [-2, 2]""",
    ),
    "slice of three numbers": (
        MERGE + 'slices = [{ model = "a", layers = [0, 2, 4] }]\n',
        """\
error: `layers` must be two integers: the first layer, and the last + 1
  --> Modelfile.toml:3:35, at `merge.x.slices[0].layers`
  found: [0, 2, 4]""",
    ),
    "slice without layers": (
        MERGE + 'slices = [{ model = "a" }]\n',
        """\
error: `slices[0]` has no `layers`
  --> Modelfile.toml:3:11, at `merge.x.slices[0].layers`
hint: add `layers = [first, last + 1]`""",
    ),
    "slice of nothing": (
        MERGE + "slices = [{ layers = [0, 2] }]\n",
        """\
error: `slices[0]` has neither `model` nor `inputs`
  --> Modelfile.toml:3:11, at `merge.x.slices[0].model`
hint: add `model = NAME`""",
    ),
    "slice with model and inputs": (
        MERGE + 'slices = [{ model = "a", inputs = [{ model = "b", layers = [0, 2] }] }]\n',
        """\
error: a slice with `inputs` has no `model` of its own
  --> Modelfile.toml:3:13, at `merge.x.slices[0].model`
hint: write it in each input: `inputs = [{ model = NAME, layers = [first, last + 1] }]`""",
    ),
    "layers of a whole model": (
        MERGE + 'inputs = [{ model = "a", layers = [0, 2] }]\n',
        """\
error: `layers` has no meaning among `inputs`, which are whole models
  --> Modelfile.toml:3:26, at `merge.x.inputs[0].layers`
hint: choose layers with `slices = [{ model = NAME, layers = [first, last + 1] }]`""",
    ),
    "both inputs and slices": (
        WITH_INPUTS + 'slices = [{ model = "a", layers = [0, 2] }]\n',
        """\
error: `merge.x` has both `inputs` and `slices`
  --> Modelfile.toml:4:1, at `merge.x.slices`
  `inputs` stands at Modelfile.toml:3:1
hint: keep `inputs` to merge whole models, `slices` to choose layers""",
    ),
    "neither inputs nor slices": (
        MERGE,
        """\
error: `merge.x` has neither `inputs` nor `slices`
  --> Modelfile.toml:1:8, at `merge.x.inputs`
hint: add `inputs = [NAME, …]`""",
    ),
    "no inputs": (
        MERGE + "inputs = []\n",
        """\
error: `inputs` is empty
  --> Modelfile.toml:3:10, at `merge.x.inputs`
hint: name at least one model""",
    ),
    "input that is a number": (
        MERGE + 'inputs = ["a", 3]\n',
        """\
error: `inputs[1]` must be the name of a model, or a table with `model`
  --> Modelfile.toml:3:16, at `merge.x.inputs[1]`
  found: 3, an integer""",
    ),
    "slice that is a name": (
        MERGE + 'slices = ["a"]\n',
        """\
error: `slices[0]` must be a table with `model` and `layers`
  --> Modelfile.toml:3:11, at `merge.x.slices[0]`
  found: "a", a string
hint: write `{ model = "a", layers = [first, last + 1] }`""",
    ),
}

VARIABLES = {
    "unknown variable": (
        "[vars]\nblend = 0.4\n" + WITH_INPUTS + 't = "${blnd}"\n',
        """\
error: no variable is called `blnd`
  --> Modelfile.toml:6:5, at `merge.x.t`
  in [vars]: blend
  written: "${blnd}"
hint: did you mean `blend`?""",
    ),
    "no variables": (
        'default = ["a", "${b}"]\n',
        """\
error: no variable is called `b`
  --> Modelfile.toml:1:17, at `default[1]`
  in [vars]: none
  written: "${b}"
hint: variables are defined in the table `[vars]`""",
    ),
    "variable of a variable": (
        '[vars]\na = 1\nb = [0, "${a}"]\n',
        """\
error: a variable may not refer to a variable
  --> Modelfile.toml:3:9, at `vars.b[1]`
  written: "${a}"
hint: write the value out""",
    ),
    "list inside a string": (
        '[vars]\na = [1]\n[source.s]\nfrom = "x/${a}"\n',
        """\
error: `${a}` is a list, which has no place inside a longer string
  --> Modelfile.toml:4:8, at `source.s.from`
  written: "x/${a}"
hint: let it be the whole value: "${a}\"""",
    ),
    "brace left open": (
        '[source.s]\nfrom = "x/${a"\n',
        """\
error: `${` without a name and `}` after it
  --> Modelfile.toml:2:8, at `source.s.from`
  written: "x/${a"
hint: a variable is written `${name}`""",
    ),
    "variable of the wrong kind": (
        "[vars]\na = 0.5\n" + WITH_INPUTS + 'keep = "${a}"\n',
        """\
error: `keep` must be true or false
  --> Modelfile.toml:6:8, at `merge.x.keep`
  found: 0.5, a float
  written: "${a}\"""",
    ),
    "variables that are no table": (
        "vars = 3\n",
        """\
error: `vars` must be a table
  --> Modelfile.toml:1:8, at `vars`
  found: 3, an integer""",
    ),
}

EVERY_KIND = VALUES | MODELS | VARIABLES


@pytest.mark.parametrize("text,words", EVERY_KIND.values(), ids=EVERY_KIND)  # noqa: PT006
def test_an_error_says_what_where_the_facts_and_a_way_out(text: str, words: str):
    """The whole of what the terminal shows, so nothing else is wrong with the text either."""
    assert words == said(text)

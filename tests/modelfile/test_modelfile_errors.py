"""What is wrong with the form and the keys of a Modelfile, in words: each error pinned as the terminal shows it."""

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


SYNTAX = {
    "value without quotes": (
        "a = 1\nb = text\n",
        """\
error: this is not valid TOML
  --> Modelfile.toml:2:5
  the parser says: Invalid value
  the line is: b = text
hint: text stands in quotes; numbers, `true` and `false` do not""",
    ),
    "windows lines": (
        'a = 1\r\n  b "x"\r\n',
        """\
error: this is not valid TOML
  --> Modelfile.toml:2:5
  the parser says: Expected '=' after a key in a key/value pair
  the line is: b "x"
hint: write `key = value`""",
    ),
    "list left open": (
        "a = [1, 2\n",
        """\
error: this is not valid TOML
  --> Modelfile.toml:2:1
  the parser says: Unclosed array
hint: put a comma between the entries and `]` after the last""",
    ),
    "table twice": (
        "[merge.x]\n[merge.y]\n[merge.x]\n",
        """\
error: `[merge.x]` is declared twice
  --> Modelfile.toml:3:9
  the line is: [merge.x]
hint: keep one of them""",
    ),
    "key twice": (
        "seed = 1\nseed = 2\n",
        """\
error: a key or table is given twice
  --> Modelfile.toml:2:9
  the parser says: Cannot overwrite a value
  the line is: seed = 2
hint: keep one of them""",
    ),
}

KEYS = {
    "unknown key at the top": (
        "sede = 1\n",
        """\
error: unknown key `sede`
  --> Modelfile.toml:1:1, at `sede`
  known here: version, default, seed, vars, source, merge, group, cache, check, search, export
hint: did you mean `seed`?""",
    ),
    "unknown table": (
        "[deploy]\nformat = 'gguf'\n",
        """\
error: unknown key `deploy`
  --> Modelfile.toml:1:2, at `deploy`
  known here: version, default, seed, vars, source, merge, group, cache, check, search, export""",
    ),
    "fetch of a source that lies here": (
        '[source.a]\nfrom = "a"\nfetch = "ranges"\n',
        """\
error: `fetch` has no meaning for a source that lies here
  --> Modelfile.toml:3:1, at `source.a.fetch`
hint: remove it; it is of sources on the hub, hf://namespace/name""",
    ),
    "fetch of no known kind": (
        '[source.a]\nfrom = "hf://a/b"\nfetch = "range"\n',
        """\
error: `fetch` must be one of files, ranges
  --> Modelfile.toml:3:9, at `source.a.fetch`
  found: "range", a string
hint: did you mean `ranges`?""",
    ),
    "unknown key of a source": (
        '[source.a]\nfrom = "a"\nrevision = "main"\n',
        """\
error: unknown key `revision`
  --> Modelfile.toml:3:1, at `source.a.revision`
  known here: from, adapters, fetch, pickles""",
    ),
    "unknown key of an output": (
        WITH_INPUTS + 'output = { pth = "x" }\n',
        """\
error: unknown key `pth`
  --> Modelfile.toml:4:12, at `merge.x.output.pth`
  known here: path, shard_size, dtype, push
hint: did you mean `path`?""",
    ),
    "unknown key of a rule": (
        WITH_INPUTS + 't = [{ value = 1, fliter = "mlp" }]\n',
        """\
error: unknown key `fliter`
  --> Modelfile.toml:4:19, at `merge.x.t[0].fliter`
  known here: value, filter, layers, outside
hint: did you mean `filter`?""",
    ),
    "missing key": (
        '[merge.x]\ninputs = ["a"]\n',
        """\
error: `merge.x` has no `method`
  --> Modelfile.toml:1:8, at `merge.x.method`
hint: add `method = NAME`; `modelbuild methods` lists them""",
    ),
    "missing key that is misspelt": (
        '[source.a]\nfrm = "a"\n',
        """\
error: `source.a` has no `from`
  --> Modelfile.toml:2:1, at `source.a.frm`
  it has `frm`
hint: did you mean `from`?""",
    ),
    "misspelt beside parameters": (
        MERGE + 'inpts = ["a"]\n',
        """\
error: `merge.x` has neither `inputs` nor `slices`
  --> Modelfile.toml:3:1, at `merge.x.inpts`
  it has `inpts`
hint: did you mean `inputs`?""",
    ),
    "misspelt table beside parameters": (
        WITH_INPUTS + 'ouput = { path = "x" }\n',
        """\
error: `ouput` must be a number, a string, true, false, a list of numbers, or a list of rules
  --> Modelfile.toml:4:9, at `merge.x.ouput`
  found: a table
hint: did you mean `output`?""",
    ),
    "name that is none": (
        '[source."a b"]\nfrom = "a"\n',
        """\
error: "a b" cannot be a name
  --> Modelfile.toml:1:9, at `source."a b"`
hint: names are made of letters, digits, `-`, `_` and `.`""",
    ),
    "name of a group that is none": (
        '[group]\nsome = ["a"]\n"a b" = ["a"]\n',
        """\
error: "a b" cannot be a name
  --> Modelfile.toml:3:1, at `group."a b"`
hint: names are made of letters, digits, `-`, `_` and `.`""",
    ),
    "id of a token beyond all rows": (
        WITH_INPUTS + 'tokenizer = { tokens = { "<x>" = { source = "a", id = 2147483648 } } }\n',
        """\
error: `id` must be from 0 to 2**31 - 1
  --> Modelfile.toml:4:55, at `merge.x.tokenizer.tokens."<x>".id`
  found: 2147483648, an integer""",
    ),
    "empty name of a token": (
        WITH_INPUTS + 'tokenizer = { tokens = { "" = { source = "a" } } }\n',
        """\
error: `""` is empty
  --> Modelfile.toml:4:31, at `merge.x.tokenizer.tokens.""`
hint: leave it out, or write what it should be""",
    ),
    "name with a dot and without quotes": (
        '[source.llama-3.1-8b.v0.1]\nfrom = "a"\n',
        """\
error: `source.llama-3` has no `from`
  --> Modelfile.toml:1:9, at `source.llama-3.from`
hint: add `from = LOCATION`: hf://namespace/name, a directory or a .safetensors file

error: unknown key `1-8b`
  --> Modelfile.toml:1:17, at `source.llama-3.1-8b`
  known here: from, adapters, fetch, pickles
hint: a name with a dot stands in quotes: `[source."llama-3.1-8b.v0.1"]`""",
    ),
    "name of two nodes": (
        '[source.x]\nfrom = "a"\n' + WITH_INPUTS,
        """\
error: `x` is both a source and a merge
  --> Modelfile.toml:3:8, at `merge.x`
  the source stands at Modelfile.toml:1:9
hint: rename one of them""",
    ),
}

EVERY_KIND = SYNTAX | KEYS


@pytest.mark.parametrize("text,words", EVERY_KIND.values(), ids=EVERY_KIND)  # noqa: PT006
def test_an_error_says_what_where_the_facts_and_a_way_out(text: str, words: str):
    """The whole of what the terminal shows, so nothing else is wrong with the text either."""
    assert words == said(text)


def test_all_errors_are_reported_at_once_in_the_order_of_the_file():
    """Whatever finds them: the check of variables, of single keys or of several."""
    text = """\
default = ["x", 1]
sede = 2
[merge.x]
method = "m"
inputs = [{ weight = "${w}" }, { model = "", layers = [0, 2] }]
slices = [{ model = "a", layers = [3, 3] }]
[source.x]
from = false
"""

    with pytest.raises(ModelbuildError) as caught:
        parse(Path("m"), text)

    assert [
        ("m:1:17", "`default[1]` must be a string"),
        ("m:2:1", "unknown key `sede`"),
        ("m:3:8", "`x` is both a source and a merge"),
        ("m:5:11", "`inputs[0]` has no `model`"),
        ("m:5:22", "no variable is called `w`"),
        ("m:5:42", "`model` is empty"),
        ("m:5:46", "`layers` has no meaning among `inputs`, which are whole models"),
        ("m:6:1", "`merge.x` has both `inputs` and `slices`"),
        ("m:6:35", "empty slice: `layers = [3, 3]` holds no layer"),
        ("m:8:8", "`from` must be a string"),
    ] == [(str(problem.place), problem.what) for problem in caught.value.problems]


def test_a_path_with_a_nul_character_is_none():
    with pytest.raises(ModelbuildError) as caught:
        parse(Path("Modelfile.toml"), '[source.a]\nfrom = "a\\u0000"\n')

    assert "error: `from` must be a path, and paths hold no NUL character\n  --> Modelfile.toml:2:8, at `source.a.from`" in str(
        caught.value
    )

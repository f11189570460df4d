"""What a Modelfile means, as values."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelbuild.errors import Exit, ModelbuildError
from modelbuild.modelfile.model import CacheSettings, Input, Merge, Modelfile, Output, Rule, Slice, Source, Tokenizer
from modelbuild.modelfile.parse import parse, read
from modelbuild.names import KeyPath

WHOLE = """\
#:schema https://json.schemastore.org/modelfile.json
version = 1
default = ["release"]
seed = 7

[vars]
blend = 0.4

[source.base]
from = "hf://mistralai/Mistral-7B-v0.1@main"
[source.math]
from = "models/math"

[merge.skills]
method = "ties"
base = "base"
inputs = [
  { model = "math", weight = 1.0, density = 0.5 },
  { model = "code", weight = [0.2, 1] },
]
normalize = true

[merge.talk]
method = "dare_ties"
inputs = [{ model = "chat" }]
dtype = "float32"
keep = false
seed = 18446744073709551615

[merge.blend]
method = "slerp"
inputs = ["skills", "talk"]
t = [
  { filter = "self_attn", value = 0.3 },
  {
    filter = "mlp",
    layers = [0, 8],
    value = [0.0, 0.7],
  },
  { value = "${blend}" },
]

[merge.release]
method = "passthrough"
slices = [
  { model = "base", layers = [0, 2], scale = 2 },
  { inputs = [{ model = "blend", layers = [2, 30], weight = 1 }, { model = "talk", layers = [2, 30] }], base = "base", t = 0.3 },
]
embed = "base"
head = "blend"
tokenizer = { source = "base" }
output = { path = "out/release", shard_size = "5GB", dtype = "bfloat16" }

[cache]
path = "../cache"
max_size = "50 GiB"
"""


def merge(name: str, method: str, **written: object) -> Merge:
    """Return a merge in which nothing else is written."""
    unwritten = {
        "base": "", "inputs": (), "slices": (), "params": {}, "dtype": "", "seed": None, "keep": True, "lenient": False,
        "embed": "", "head": "", "scope": "", "tokenizer": Tokenizer(), "common": False, "output": Output(),
    }  # fmt: skip
    return Merge(name=name, method=method, path=("merge", name), **(unwritten | written))


def everywhere(value: object, path: KeyPath) -> tuple[Rule, ...]:
    """Return the setting of a plain value."""
    return (Rule(value, "", None, path),)


def only(text: str, *overrides: str) -> Merge:
    """Parse `text` and return its first merge."""
    return next(iter(parse(Path("Modelfile.toml"), text, overrides).merges.values()))


def test_a_whole_modelfile_is_what_it_says():
    """Every key of the format once, to exact values and paths, in the order of the file."""
    skills, talk, blend, release = (("merge", name) for name in ("skills", "talk", "blend", "release"))
    first, second = (*skills, "inputs", 0), (*skills, "inputs", 1)
    one, several = (*release, "slices", 0), (*release, "slices", 1)

    parsed = parse(Path("some/Modelfile.toml"), WHOLE)

    assert (
        Modelfile(
            path=Path("some/Modelfile.toml"),
            default=("release",),
            seed=7,
            sources={
                "base": Source("base", "hf://mistralai/Mistral-7B-v0.1@main", ("source", "base")),
                "math": Source("math", "models/math", ("source", "math")),
            },
            merges={
                "skills": merge(
                    "skills",
                    "ties",
                    base="base",
                    inputs=(
                        Input(
                            "math",
                            {"weight": everywhere(1.0, (*first, "weight")), "density": everywhere(0.5, (*first, "density"))},
                            None,
                            first,
                        ),
                        Input("code", {"weight": everywhere((0.2, 1), (*second, "weight"))}, None, second),
                    ),
                    params={"normalize": everywhere(value=True, path=(*skills, "normalize"))},
                ),
                "talk": merge(
                    "talk", "dare_ties", inputs=(Input("chat", {}, None, (*talk, "inputs", 0)),), dtype="F32", keep=False, seed=2**64 - 1
                ),
                "blend": merge(
                    "blend",
                    "slerp",
                    inputs=(Input("skills", {}, None, (*blend, "inputs", 0)), Input("talk", {}, None, (*blend, "inputs", 1))),
                    params={
                        "t": (
                            Rule(0.3, "self_attn", None, (*blend, "t", 0)),
                            Rule((0.0, 0.7), "mlp", (0, 8), (*blend, "t", 1)),
                            Rule(0.4, "", None, (*blend, "t", 2)),
                        )
                    },
                ),
                "release": merge(
                    "release",
                    "passthrough",
                    slices=(
                        Slice((Input("base", {}, (0, 2), one),), "", {"scale": everywhere(2, (*one, "scale"))}, one),
                        Slice(
                            (
                                Input(
                                    "blend",
                                    {"weight": everywhere(1, (*several, "inputs", 0, "weight"))},
                                    (2, 30),
                                    (*several, "inputs", 0),
                                ),
                                Input("talk", {}, (2, 30), (*several, "inputs", 1)),
                            ),
                            "base",
                            {"t": everywhere(0.3, (*several, "t"))},
                            several,
                        ),
                    ),
                    embed="base",
                    head="blend",
                    tokenizer=Tokenizer("base"),
                    output=Output("out/release", 5 * 10**9, "BF16"),
                ),
            },
            cache=CacheSettings("../cache", 50 * 2**30),
            adapters={},
            locator=parsed.locator,
            document=parsed.document,
        )
        == parsed
    )
    assert ["skills", "talk", "blend", "release"] == list(parsed.merges)


def test_an_empty_modelfile_is_valid():
    """Nothing is required of a file as a whole: what a build needs is asked for by the build."""
    parsed = parse(Path("m"), "")

    assert Modelfile(Path("m"), (), 0, {}, {}, CacheSettings(), {}, parsed.locator) == parsed


@pytest.mark.parametrize("written", ["1", "1.0", "true", '"1"', "[1, 1.0]", "-0.0", "18446744073709551615"])
def test_values_keep_the_type_they_are_written_with(written: str):
    """An integer stays an integer, a float a float and a boolean a boolean: methods decide what they take."""
    value = only(f'[merge.x]\nmethod = "m"\ninputs = ["a"]\np = {written}\n').params["p"][0].value

    assert repr(tuple(json.loads(written)) if written[0] == "[" else json.loads(written)) == repr(value)


@pytest.mark.parametrize(
    "name", ["copy", "params", "model_config", "model_fields", "__class__", "from", "lambda", "[key]", "rules", "schema"]
)
def test_a_parameter_may_have_any_name(name: str):
    """Names that mean something to Python or to our own tables are names like any other here."""
    params = only(f'[merge.x]\nmethod = "m"\ninputs = ["a"]\n"{name}" = [{{ value = 3 }}]\n').params

    assert {name: (Rule(3, "", None, ("merge", "x", name, 0)),)} == dict(params)


def test_variables_stand_for_values_of_any_type():
    """A whole string takes the value with its type; inside a longer string the value is written as text."""
    parsed = parse(
        Path("m"),
        """
default = ["${name}"]
seed = "${seed}"
[vars]
name = "x"
seed = 3
on = true
span = [0, 2]
curve = [0.1, 0.2]
share = 0.5
[source.a]
from = "models/${name}-${seed}-${share}-${on}"
[merge.x]
method = "m"
keep = "${on}"
slices = [{ model = "a", layers = "${span}", weight = "${curve}" }]
""",
    )

    assert ("x",) == parsed.default
    assert 3 == parsed.seed
    assert "models/x-3-0.5-true" == parsed.sources["a"].location
    assert parsed.merges["x"].keep is True
    assert (0, 2) == parsed.merges["x"].slices[0].inputs[0].layers
    assert (0.1, 0.2) == parsed.merges["x"].slices[0].params["weight"][0].value


def test_tables_of_tables_mean_what_inline_tables_mean():
    """`[[merge.x.inputs]]` and `[merge.x.output]` are other ways to write the same."""
    headers = only('[merge.x]\nmethod = "m"\n[[merge.x.inputs]]\nmodel = "a"\nw = 1\n[merge.x.output]\npath = "o"\n')
    inline = only('merge.x = { method = "m", inputs = [{ model = "a", w = 1 }], output = { path = "o" } }')

    assert inline == headers


def test_reading_reports_a_missing_modelfile_and_the_way_out(tmp_path: Path):
    """Exit 2: usage."""
    path = tmp_path / "Modelfile.toml"

    with pytest.raises(ModelbuildError) as caught:
        read(path)

    assert f"error: there is no Modelfile at `{path}`\nhint: `modelbuild init` makes one" == str(caught.value)
    assert Exit.USAGE == caught.value.exit_code


def test_reading_reports_a_directory(tmp_path: Path):
    """A directory given for a file: the file in it is the likely wish."""
    with pytest.raises(ModelbuildError) as caught:
        read(tmp_path)

    assert f"error: `{tmp_path}` is a directory, not a Modelfile\nhint: did you mean `{tmp_path}/Modelfile.toml`?" == str(caught.value)


def test_reading_places_bytes_that_are_not_utf8(tmp_path: Path):
    """Latin-1 is the usual case."""
    path = tmp_path / "m.toml"
    path.write_bytes("# ü\n# größe\n".encode("latin-1"))

    with pytest.raises(ModelbuildError) as caught:
        read(path)

    assert (
        f"error: `{path}` is not UTF-8 text\n  --> {path}:1:3\n  byte 0xfc at offset 2 starts no character\nhint: save it as UTF-8"
        == str(caught.value)
    )


def test_reading_forgives_a_byte_order_mark(tmp_path: Path):
    """Some editors write one; it is no part of the text, and columns do not count it."""
    path = tmp_path / "m.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 3\n")

    assert 3 == read(path).seed


def test_parsing_imports_nothing_heavy():
    """A build in which nothing is to do parses the Modelfile, too."""
    code = "import sys, modelbuild.modelfile.parse; print(sorted({'torch', 'numpy', 'networkx', 'numba'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "[]\n" == done.stdout

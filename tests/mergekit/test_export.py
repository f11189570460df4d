"""Modelfiles in mergekit's words, and back: the meaning stays, and what has no words is told by key path."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from modelbuild.cli import main
from modelbuild.errors import ModelbuildError
from modelbuild.graph import Graph, bind, select
from modelbuild.mergekit import read
from modelbuild.modelfile.parse import parse
from modelbuild.usecases import Where, export_mergekit, import_mergekit
from tests.mergekit.configurations import configuration
from tests.mergekit.meaning import DEPTH, meaning

MODELS = ("lab/base", "lab/math@v2", "./code", "lab/chat+lab/style-lora", "/models/prose", "lab/base+./tone")


def graph_of(path: Path, documents: list[dict[str, Any]]) -> Graph:
    """Read configurations as mergekit's users write them, and bind them."""
    path.write_text("---\n".join(yaml.safe_dump(one, sort_keys=False) for one in documents))
    return bind(read([path], path.parent))


DRAWN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate])


@settings(DRAWN, max_examples=40)
@given(st.randoms(use_true_random=False))
def test_what_is_imported_and_exported_means_the_same(tmp_path: Path, draw: Random):
    """Values of every tensor's parameters, models, layers, types and tokens; of the Modelfile's text as well, and exported again."""
    means_the_same(tmp_path, draw)


@pytest.mark.slow
@settings(DRAWN, max_examples=400)
@given(st.randoms(use_true_random=False))
def test_what_is_imported_and_exported_means_the_same_of_many(tmp_path: Path, draw: Random):
    """Other ones each time."""
    means_the_same(tmp_path, draw)


def means_the_same(tmp_path: Path, draw: Random) -> None:
    """Read a configuration, write it as a Modelfile, and write that as a configuration again."""
    drawn = configuration(draw, MODELS, DEPTH)
    path, again = tmp_path / "one.yml", tmp_path / "again" / "one.yml"
    graph = graph_of(path, drawn)
    expected = meaning(graph)

    assert expected == meaning(bind(parse(Path("M"), import_mergekit([path], None, tmp_path)[0])))
    ((_, text),) = export_mergekit(Where(path, directory=tmp_path), seen_from=tmp_path)[0]
    again.parent.mkdir(exist_ok=True)
    again.write_text(text)
    assert expected == meaning(bind(read([again], tmp_path)))
    assert text == export_mergekit(Where(again, directory=tmp_path), seen_from=tmp_path)[0][0][1]


MODELFILE = """\
[source]
base.from = "models/base"
chat = { from = "hf://lab/chat@v1", adapters = [{ from = "hf://lab/tone" }] }
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "chat", density = 0.5 }]
trim = "tensor"
[merge.release]
method = "slerp"
inputs = ["base", "skills"]
t = [{ filter = "self_attn", value = 0.3 }, { filter = "lm_head", value = 0.1 }, { value = [0.2, 0.4], outside = 0.2 }]
dtype = "float32"
output = { dtype = "bfloat16" }
"""
EXPORTED = """\
# Exported from Modelfile.toml for mergekit-multi.
# skills has no dtype: mergekit computes in the type of the weights, not in float32
name: skills
merge_method: ties
base_model: ./models/base
models:
- model: lab/chat@v1+lab/tone
  parameters: {density: 0.5}
parameters: {weight: 1.0}
---
merge_method: slerp
base_model: ./models/base
models:
- {model: ./models/base}
- {model: skills}
parameters:
  t:
  - {filter: .self_attn., value: 0.3}
  - {filter: lm_head., value: 0.1}
  - value: [0.2, 0.4]
dtype: float32
out_dtype: bfloat16
"""


def run(*arguments: object) -> object:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_the_command_prints_or_writes_and_replaces_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "Modelfile.toml").write_text(MODELFILE)

    assert 0 == run("-C", tmp_path, "export")
    assert EXPORTED == capsys.readouterr().out
    assert 0 == run("-C", tmp_path, "export", "-o", "made/mix.yml")
    assert EXPORTED == (tmp_path / "made" / "mix.yml").read_text()
    assert 2 == run("-C", tmp_path, "export", "-o", "made/mix.yml")
    assert 0 == run("-C", tmp_path, "export", "skills", "-o", "made")
    assert (tmp_path / "made" / "skills.yml").read_text().startswith("# Exported from Modelfile.toml for mergekit-yaml.\n")
    assert 2 == run("-C", tmp_path, "export", "skill")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('trim = "tensor"', 'trim = "model"', "mergekit's `ties` has no `trim`\n  --> Modelfile.toml:8:1, at `merge.skills.trim`"),
        ('method = "ties"', 'method = "iso_c"', "mergekit 0.1.5 has no method `iso_c`"),
        ("[0.2, 0.4], outside = 0.2", "[0.2, 0.4]", "hint: write `{ value = [0.2, 0.4], outside = 0.2 }`"),
        ("value = 0.3", "value = 0.3, layers = [0, 1]", "at `merge.release.t[0].layers`"),
        ('"self_attn"', '"self_attn.*_proj"', "and `self_attn.*_proj` is none"),
        ('"hf://lab/tone"', '"hf://lab/tone", scale = 0.5', "mergekit adds an adapter as it is"),
        ('{ from = "hf://lab/tone" }', '{ from = "x" }, { from = "y" }', "mergekit has one adapter for a model"),
        ('dtype = "float32"', 'embed = "chat"', "mergekit has no `embed`"),
        ('dtype = "float32"', 'scope = "text"', "mergekit has no `scope`"),
        ('dtype = "float32"', 'tokenizer = { chat_template = "chat" }', "no chat template of a model or a file"),
        ('dtype = "float32"', 'dtype = "float16"', "at `merge.release.output.dtype`"),
        ('trim = "tensor"', 'tokenizer = { tokens = { x = { source = "mean" } } }', "no `mean` for a token"),
        ('method = "ties"', 'method = "dare_ties"\nseed = 3', "no `seed` in its configurations"),
        ('trim = "tensor"\n', 'rescale = "inverse_density"\n', "rescales by the L1 norm alone"),
    ],
)  # fmt: skip
def test_what_mergekit_has_no_words_for_is_told_by_key_path(tmp_path: Path, old: str, new: str, said: str):
    text = MODELFILE.replace(old, new)
    text = text.replace('"ties"', '"dare_ties"').replace("trim", "#") if "inverse" in new else text
    text = text.replace("trim", "#") if '"ties"' not in text else text
    text = text.replace(", density = 0.5", "") if "iso_c" in new else text
    (tmp_path / "Modelfile.toml").write_text(text)

    with pytest.raises(ModelbuildError) as caught:
        export_mergekit(Where(tmp_path / "Modelfile.toml"))

    assert said in str(caught.value).replace(f"{tmp_path}/", "")


SWEPT = """\
[source]
base.from = "models/base"
chat.from = "hf://lab/chat"
[merge.skills]
method = "ties"
base = "base"
inputs = ["chat"]
dtype = "bfloat16"
vocabulary = "common"
matrix = { density = [0.5, 1e-5], lambda = [-1.0, 1.0] }
[merge."skills-density-0.5-lambda-1"]
method = "linear"
inputs = ["chat"]
dtype = "bfloat16"
vocabulary = "common"
[merge.float32]
method = "linear"
inputs = ["skills@density=0.5,lambda=1", "skills-density-0.5-lambda-1", "skills@density=1e-05,lambda=-1"]
dtype = "bfloat16"
vocabulary = "common"
[merge.release]
method = "slerp"
inputs = ["float32", "skills@density=0.5,lambda=1"]
t = [{ filter = "mlp", value = 0.5 }, { value = 0.3 }]
dtype = "bfloat16"
vocabulary = "common"
matrix = { "t[0].value" = [0.2, 0.8] }
"""
CALLED = {
    "skills@density=0.5,lambda=1": "skills-density-0.5-lambda-1-2",
    "skills@density=1e-05,lambda=-1": "skills-density-1e-05-lambda--1",
    "skills-density-0.5-lambda-1": "skills-density-0.5-lambda-1",
    "float32": "float32-merged",
    "release@t.0.value=0.2": "release-t.0.value-0.2",
    "release@t.0.value=0.8": "release-t.0.value-0.8",
}


@pytest.mark.parametrize("target", ["release", "release@t.0.value=0.2"], ids=["a sweep", "a variant"])
def test_sweeps_are_exported_under_names_that_can_be_imported(tmp_path: Path, target: str):
    """What is read and what is made, and what is called like a word of mergekit's; a name that can stay as it is does."""
    (tmp_path / "Modelfile.toml").write_text(SWEPT)
    graph = bind(parse(Path("M"), SWEPT))
    chosen = select(graph.modelfile, [target])
    needed = graph.upstream(chosen)
    meant = [renamed(one, {**CALLED, **({target: "made"} if len(chosen) == 1 else {})}) for one in meaning(graph) if one[0] in needed]

    (_, notes) = export_mergekit(Where(tmp_path / "Modelfile.toml"), [target], tmp_path / "made.yml", tmp_path)
    imported = bind(parse(Path("M"), import_mergekit([tmp_path / "made.yml"], None, tmp_path)[0]))

    assert meant == meaning(imported)
    assert notes == (
        "float32 is called float32-merged there: `float32` is a word of mergekit's",
        "names have no @, = and comma there: skills@density=0.5,lambda=1 is called skills-density-0.5-lambda-1-2, and so on",
    )


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Return what `meaning` says, with other names for merges."""
    match value:
        case str():
            return names.get(value, value)
        case list() | tuple():
            return type(value)(renamed(one, names) for one in value)
        case dict():
            return {key: renamed(one, names) for key, one in value.items()}
    return value


def test_mixtures_are_exported_for_mergekit_moe_and_alone(tmp_path: Path):
    text = """\
base_model: lab/base
gate_mode: cheap_embed
dtype: bfloat16
experts_per_token: 1
experts:
- source_model: lab/math
  positive_prompts: [math, calculate]
- source_model: lab/code
  positive_prompts: [code]
  negative_prompts: [chat]
"""
    (tmp_path / "one.yml").write_text(text)

    ((_, told),) = export_mergekit(Where(tmp_path / "one.yml", directory=tmp_path))[0]

    assert "# Exported from one.yml for mergekit-moe.\n" + text == told
    (tmp_path / "two.yml").write_text("name: one\n" + text + "---\nmerge_method: linear\nmodels: [one, lab/base]\n")
    with pytest.raises(ModelbuildError, match="a mixture of experts among other merges"):
        export_mergekit(Where(tmp_path / "two.yml", directory=tmp_path))

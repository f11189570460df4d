"""mergekit's configurations taken over: what they mean, what is said of what they do not, and what comes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli

from modelbuild.build import import_mergekit
from modelbuild.cli import main
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.graph import bind
from modelbuild.modelfile.parse import parse

HALVES = """\
merge_method: passthrough
slices:
  - sources:
      - {model: lab/base, layer_range: [0, 20]}
  - sources:
      - model: lab/chat
        layer_range: [12, 32]
        parameters: {scale: 0.9}
dtype: bfloat16
"""
TWO_STAGES = """\
name: first
merge_method: ties
base_model: lab/base
models:
  - {model: lab/math, parameters: {weight: 1.0, density: 0.5}}
  - {model: lab/chat, parameters: {weight: [0.2, 0.8], density: 0.5}}
parameters: {normalize: true, int8_mask: true}
dtype: bfloat16
---
merge_method: slerp
base_model: first
models: [{model: first}, {model: lab/code}]
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 1]}
    - {filter: proj, value: 0.7}
    - {value: 0.5}
dtype: bfloat16
"""
UNION = """\
merge_method: linear
models: [lab/base, {model: lab/special, parameters: {weight: 0.5}}]
tokenizer:
  source: union
  tokens:
    <|special_token|>: {source: lab/special, force: true}
  pad_to_multiple_of: 64
"""
MIXTURE = """\
base_model: lab/base
gate_mode: cheap_embed
dtype: bfloat16
experts:
  - {source_model: lab/math, positive_prompts: [math, calculate]}
  - {source_model: lab/code, positive_prompts: [code], negative_prompts: [chat]}
"""


def imported(tmp_path: Path, *texts: str, names: tuple[str, ...] = ("one.yml", "two.yml")) -> dict[str, dict[str, object]]:
    """Import texts as files, see that the Modelfile binds, and return its tables."""
    paths = [tmp_path / name for name, _ in zip(names, texts, strict=False)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    text, _ = import_mergekit(paths)
    assert bind(parse(Path("Modelfile.toml"), text)).nodes
    return tomli.loads(text)


def test_slices_scales_and_addresses(tmp_path: Path):
    found = imported(tmp_path, HALVES)

    assert {"base": {"from": "hf://lab/base"}, "chat": {"from": "hf://lab/chat"}} == found["source"]
    assert {
        "one": {
            "method": "passthrough",
            "slices": [{"model": "base", "layers": [0, 20]}, {"model": "chat", "layers": [12, 32], "scale": 0.9}],
            "dtype": "bfloat16",
            "vocabulary": "common",
        }
    } == found["merge"]


def test_documents_that_name_each_other_are_one_graph(tmp_path: Path):
    """Gradients keep their meaning for the head; filters of substrings become globs."""
    found = imported(tmp_path, TWO_STAGES)["merge"]

    assert ["first", "one"] == list(found)
    assert "first" == found["one"]["base"]
    assert ["first", "code"] == found["one"]["inputs"]
    assert [
        {"filter": "self_attn", "value": [0, 0.5, 1]},
        {"filter": "*proj*", "value": 0.7},
        {"value": 0.5},
    ] == found["one"]["t"]
    assert {
        "model": "chat",
        "weight": [{"filter": "layers", "value": [0.2, 0.8]}, {"value": 0.2}],
        "density": 0.5,
    } == found["first"]["inputs"][1]


def test_files_that_name_each_other_are_one_graph(tmp_path: Path):
    middle = "name: middle\nmerge_method: linear\nmodels: [lab/base, lab/chat]\n"
    ends = HALVES.replace("lab/chat", "middle")

    found = imported(tmp_path, ends, middle)

    assert "middle" == found["merge"]["one"]["slices"][1]["model"]
    assert {"base", "chat"} == found["source"].keys()


def test_tokenizers_and_their_tokens(tmp_path: Path):
    tokens = {"<|special_token|>": {"source": "special", "force": True}}
    found = imported(tmp_path, UNION)["merge"]["one"]

    assert {"source": "union", "tokens": tokens, "pad_to_multiple_of": 64} == found["tokenizer"]
    assert "vocabulary" not in found


def test_mixtures_with_and_without_a_method(tmp_path: Path):
    for text in (MIXTURE, "merge_method: moe\n" + MIXTURE):
        found = imported(tmp_path, text)["merge"]["one"]
        assert ("moe", "base", "cheap_embed") == (found["method"], found["base"], found["gate"])
        assert {"model": "code", "positive_prompts": ["code"], "negative_prompts": ["chat"]} == found["experts"][1]


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ("lab/base@v2", {"from": "hf://lab/base@v2"}),
        ("lab/base+lab/style-lora", {"from": "hf://lab/base", "adapters": [{"from": "hf://lab/style-lora"}]}),
        ("./models/base", {"from": "./models/base"}),
        ("/models/base", {"from": "/models/base"}),
        ("base", {"from": "base"}),
        ("{model: {path: lab/base, revision: v2}}", {"from": "hf://lab/base@v2"}),
        ("{model: {path: lab/base}, lora: {path: lab/x}}", {"from": "hf://lab/base", "adapters": [{"from": "hf://lab/x"}]}),
    ],
)
def test_models_in_every_spelling(tmp_path: Path, written: str, source: dict[str, object]):
    found = imported(tmp_path, f"merge_method: passthrough\nmodels:\n  - model: {written}\n")

    assert [source] == list(found["source"].values())


def test_the_drop_rate_of_dare_is_a_density(tmp_path: Path):
    text = (
        "merge_method: dare_ties\nbase_model: lab/base\nmodels:\n  - {model: lab/math, parameters: {weight: 1, dare: {drop_rate: 0.9}}}\n"
    )
    found = imported(tmp_path, text)

    assert [{"model": "math", "weight": 1, "density": 0.1}] == found["merge"]["one"]["inputs"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("merge_method: tise\nmodels: [a/b]\n", "one.yml:1:1, at `merge_method`"),
        ("merge_method: ties\nbase_model: a/b\nmodels:\n  - {model: c/d, parameters: {densitee: 1}}\n", "did you mean `density`?"),
        ("merge_method: ties\nbase_model: a/b\nmodels:\n  - {model: c/d, paramters: {density: 1}}\n", "did you mean `parameters`?"),
        ("merge_method: linear\nmodels: [a/b]\ndtype: int8\n", "`int8` is no type of weights here"),
        ("merge_method: linear\nmodels: [a/b]\nmodules: {}\n", "`modules` are not imported"),
        ("merge_method: linear\n models: [a/b]\n", "is no YAML"),
        ("merge_method: linear\nmodels: 3\n", "one.yml:2:1, at `models`"),
        ("merge_method: linear\nmodels: [{model: a/b, parameters: 3}]\n", "this should be a table of keys"),
        ("merge_method: linear\nmodels: [3, null]\n", "this should be a table of keys"),
        ("merge_method: linear\n", "there is nothing to merge"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: [{filter: x}]}\n", "this rule has no value"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: [{value: []}]}\n", "this rule has no value"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: []}\n", "this list is empty"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: x}\n", "`weight` cannot have this value"),
        ("merge_method: linear\nmodels: [a/b]\nname: a b\n", "`a b` is no name"),
        ("merge_method: moe\nexperts: 3\n", "this should be a list"),
        ("merge_method: slerp\nslices: {sources: 3}\n", "this should be a list"),
        ("a: &a [*a]\n", "is no YAML"),
        ("- a\n", "is no mergekit configuration"),
        ("merge_method: !!python/object/apply:os.mkdir [x]\n", "is no YAML"),
    ],
)
def test_what_has_no_meaning_is_told_by_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "one.yml").write_text(text)

    with pytest.raises(ModelbuildError) as caught:
        import_mergekit([tmp_path / "one.yml"])

    assert said in str(caught.value)
    assert Exit.USAGE == caught.value.exit_code
    assert not (tmp_path / "x").exists()


def test_the_command_prints_or_writes_and_replaces_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "one.yml").write_text(HALVES)
    (tmp_path / "bad.yml").write_text("merge_method: tise\nmodels: [a/b]\n")

    def run(*arguments: str) -> object:
        with pytest.raises(SystemExit) as ended:
            main(["-C", str(tmp_path), "import", *arguments])
        return ended.value.code

    assert 0 == run("one.yml")
    assert '[source.base]\nfrom = "hf://lab/base"\n' in capsys.readouterr().out
    assert 0 == run("one.yml", "-o", "Modelfile.toml")
    assert 2 == run("one.yml", "-o", "Modelfile.toml")
    assert 2 == run("bad.yml")
    assert 5 == run("nothing.yml")


@pytest.mark.slow
def test_recipes_build_load_and_generate(tmp_path: Path):
    """On a base of 32,000 tokens and specialists that added one or two, as they are in the wild."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.mergekit.recipes import built, family

    models = family(tmp_path)
    recipes = {"halves": HALVES, "stages": TWO_STAGES, "union": UNION, "mixture": MIXTURE}
    expected = {"halves": (40, 32_000), "stages": (32, 32_000), "union": (32, 32_064), "mixture": (32, 32_000)}
    for name, text in recipes.items():
        (tmp_path / f"{name}.yml").write_text(text)
        (target,) = built(tmp_path / f"build-{name}", [tmp_path / f"{name}.yml"], models).targets
        model, info = AutoModelForCausalLM.from_pretrained(target.path, output_loading_info=True)
        assert not any(info.values()), (name, info)
        assert expected[name] == (model.config.num_hidden_layers, model.config.vocab_size)
        prompt = AutoTokenizer.from_pretrained(target.path)("math code", return_tensors="pt").input_ids
        assert model.generate(prompt, max_new_tokens=3, do_sample=False).shape[1] > prompt.shape[1]


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.3, 0.1, 0.9]])
def test_gradients_mean_for_norm_and_head_what_they_mean_to_mergekit(tmp_path: Path, values: list[float]):
    """The first value for all that is outside the layers."""
    from modelbuild.checkpoint.anatomy import Part
    from modelbuild.plan.resolve import Spot, value_at

    found = imported(tmp_path, f"merge_method: linear\nmodels:\n  - model: lab/a\n    parameters: {{weight: {values}}}\n")
    node = bind(parse(Path("M"), import_mergekit([tmp_path / "one.yml"])[0])).nodes["one"]
    chain = node.slices[0].inputs[0].chains["weight"]
    assert found
    assert values[0] == value_at(chain, Spot("lm_head.weight", Part.HEAD, -1, (0, 5)))
    assert values[0] == value_at(chain, Spot("model.embed_tokens.weight", Part.EMBEDDING, -1, (0, 5)))
    expected = np.interp(np.linspace(0, len(values) - 1, 5), range(len(values)), values)
    for layer in range(5):
        spot = Spot(f"model.layers.{layer}.mlp.up_proj.weight", Part.LAYERS, layer, (0, 5))
        assert value_at(chain, spot) == pytest.approx(expected[layer])

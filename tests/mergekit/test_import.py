"""mergekit's configurations taken over: what they mean, what is said of what they do not, and what comes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.cli import main
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.graph import bind
from modelbuild.mergekit import read
from modelbuild.mergekit.substrings import glob_of
from modelbuild.modelfile.parse import parse
from modelbuild.plan.resolve import pattern_of
from modelbuild.usecases import import_mergekit

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
        {"filter": "*self_attn*", "value": [0, 0.5, 1], "outside": 0},
        {"filter": "*proj*", "value": 0.7},
        {"value": 0.5},
    ] == found["one"]["t"]
    assert {
        "model": "chat",
        "weight": [{"value": [0.2, 0.8], "outside": 0.2}],
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


def test_a_directory_goes_before_a_repository_and_is_seen_from_the_modelfile(tmp_path: Path):
    """As mergekit looks from where it runs; a revision says nothing of a directory."""
    (tmp_path / "lab" / "base").mkdir(parents=True)
    (tmp_path / "one.yml").write_text("merge_method: passthrough\nmodels: [lab/base@v2]\n")
    (tmp_path / "sub").mkdir()

    text, notes = import_mergekit([tmp_path / "one.yml"], tmp_path / "sub" / "Modelfile.toml", tmp_path)

    assert {"base": {"from": "../lab/base"}} == tomli.loads(text)["source"]
    assert f"{tmp_path}/one.yml:2: `lab/base` is a directory, which has no revision: `@v2` is left out" in notes


@settings(deadline=None)
@given(
    st.text("abc._", min_size=1, max_size=6),
    st.lists(st.text("abc_", min_size=1, max_size=4), min_size=1, max_size=4).map(".".join),
)
def test_a_filter_matches_the_names_that_hold_its_words_and_no_others(words: str, name: str):
    """`layers.1.` is not layer 10, and `up_proj` is in `gate_up_proj`."""
    assert (words in name) == bool(pattern_of(glob_of(words)).search(name))


def test_what_yaml_merges_and_what_pydantic_reads_is_read_alike(tmp_path: Path):
    """`<<` gives way to a table's own keys; numbers that YAML takes for text, and truths that are numbers."""
    text = """\
merge_method: breadcrumbs
base_model: lab/base
models:
  - {model: lab/math, parameters: &own {weight: 1e-1, density: "0.5"}}
  - {model: lab/chat, parameters: {<<: *own, weight: 2}}
parameters: {normalize: 1, rescale: false}
"""
    merge = imported(tmp_path, text)["merge"]["one"]

    assert [{"model": "math", "weight": 0.1, "density": 0.5}, {"model": "chat", "weight": 2, "density": 0.5}] == merge["inputs"]
    assert (True, False) == (merge["normalize"], merge["rescale"])


def test_what_mergekit_passes_over_knowingly_is_noted_and_left_out(tmp_path: Path):
    """Another method's parameters, one of all models beside one of them, and what slices once had."""
    text = """\
merge_method: slerp
slices:
  - sources:
      - {model: lab/a, layer_range: [0, 2], parameters: {weight: 1, t: 0.3}}
      - {model: lab/b, layer_range: [0, 2]}
    residual_weight: 0.1
parameters: {t: 0.5, int8_mask: true}
"""
    (tmp_path / "one.yml").write_text(text)
    text, notes = import_mergekit([tmp_path / "one.yml"])

    merge = tomli.loads(text)["merge"]["one"]
    assert {"method", "slices", "t", "vocabulary"} == merge.keys()
    assert [{"inputs": [{"model": "a", "layers": [0, 2]}, {"model": "b", "layers": [0, 2]}]}] == merge["slices"]
    assert [6, 4, 4, 7] == [int(note.split(":")[1]) for note in notes]
    assert all(note.startswith(f"# {tmp_path}/one.yml:") for note in text.splitlines()[1:5])


@pytest.mark.parametrize(
    ("parameters", "inputs"), [("{weight: 0.5}", ["a", "b", "base"]), ("{normalize: true}", ["a", "b"])], ids=["weighed", "not weighed"]
)
def test_a_base_of_a_method_without_one_is_merged_where_mergekit_merges_it(tmp_path: Path, parameters: str, inputs: list[str]):
    """Not listed it is one more model, if there is a weight for it."""
    text = f"merge_method: linear\nbase_model: lab/base\nmodels: [lab/a, lab/b]\nparameters: {parameters}\n"

    assert inputs == imported(tmp_path, text)["merge"]["one"]["inputs"]


def test_modules_are_merges_one_after_the_other_each_with_its_scope(tmp_path: Path):
    """A module's parameters go before those of all, and what they leave open falls to those."""
    text = """\
merge_method: linear
modules:
  text_decoder:
    slices:
      - sources: [{model: lab/a, layer_range: [0, 2]}, {model: lab/b, layer_range: [0, 2]}]
    parameters: {weight: [{filter: mlp, value: 0.3}]}
  vision_tower: {models: [lab/a, lab/b]}
parameters: {weight: 0.5}
tokenizer_source: union
dtype: bfloat16
"""
    found = imported(tmp_path, text)["merge"]

    assert ["one-text_decoder", "one"] == list(found)
    first, last = found.values()
    assert ("text", [{"filter": "*mlp*", "value": 0.3}, {"value": 0.5}], {"source": "union"}) == (
        first["scope"],
        first["weight"],
        first["tokenizer"],
    )
    assert ("vision", ["one-text_decoder", "b"], 0.5) == (last["scope"], last["inputs"], last["weight"])
    assert "bfloat16" == first["dtype"] == last["dtype"]
    assert "tokenizer" not in last


def test_rows_of_tokens_in_every_form(tmp_path: Path):
    """`tokenizer` without a source is a union; tokens that nothing is said of are left out."""
    text = """\
merge_method: linear
models: [lab/a, lab/b]
tokenizer:
  tokens:
    <a>: {source: {kind: zero}, force: true}
    <b>: {source: {kind: model_token, model: lab/b, token: x}}
    <c>: {source: {kind: model_token, model: {model: {path: lab/b}}, token_id: 7}}
    <d>: {source: {model: lab/b}}
    <e>: {}
"""
    tokens = {
        "<a>": {"source": "zero", "force": True},
        "<b>": {"source": "b", "token": "x"},
        "<c>": {"source": "b", "id": 7},
        "<d>": {"source": "b"},
    }
    assert {"source": "union", "tokens": tokens} == imported(tmp_path, text)["merge"]["one"]["tokenizer"]


def test_a_filter_for_a_layer_is_refused_where_slices_give_layers_other_numbers(tmp_path: Path):
    """mergekit counts those of each model for what is per model, a Modelfile those of the result."""
    source = "{model: lab/a, layer_range: [%d, %d], parameters: {weight: [{filter: layers.3., value: 2}, {value: 1}]}}"
    text = "merge_method: linear\nslices:\n  - sources: [%s]\n"
    assert imported(tmp_path, text % (source % (0, 4)))

    with pytest.raises(ModelbuildError, match="goes by the number of a layer"):
        imported(tmp_path, text % (source % (1, 4)))


def test_what_looks_like_a_variable_stays_what_it_is(tmp_path: Path):
    """In the text of a Modelfile it is written so that none is looked for."""
    template = "{{ '${name}' }}"
    found = imported(tmp_path, f'merge_method: linear\nmodels: [lab/a, lab/b]\nchat_template: "{template}"\n')

    assert "$" == found["vars"]["dollar"]
    for modelfile in (read([tmp_path / "one.yml"], tmp_path), parse(Path("M"), import_mergekit([tmp_path / "one.yml"])[0])):
        assert template == modelfile.merges["one"].tokenizer.chat_template


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
        ("merge_method: linear\nmodels: [a/b]\nmodules: {a: {models: [a/b]}}\n", "`models` and `modules` both say what is merged"),
        ("merge_method: linear\nmodules: {a: {model: [a/b]}}\n", "one.yml:2:15, at `modules.a.model`"),
        ("merge_method: linear\nmodules:\n  a: {models: [a/b]}\n  b: {models: [c/d]}\n", "`b` begins with `d`"),
        ("merge_method: linear\nmodels: [a/b]\ntokenizer: {}\ntokenizer_source: base\n", "both name a tokenizer"),
        ("merge_method: linear\nmodels: [a/b]\ntokenizer: {tokens: {x: {source: {kind: mean}}}}\n", "known here: zero, model_token"),
        ("merge_method: linear\nmodels: [a/b]\ntokenizer: {tokens: {x: {source: {kind: model_token, model: a/b}}}}\n", "by `token_id`"),
        ("merge_method: linear\nmodels: [a/b]\nchat_template: exaone\n", "known here: chatml, llama3, mistral, alpaca"),
        ("merge_method: linear\nmodels: [a/b@x@y]\n", "more than one `@`"),
        ("merge_method: linear\nmodels: [a/b]\nmodels: [c/d]\n", "one.yml:3:1, at `models`\nhint: keep one of them"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: [{filter: '*mlp*', value: 1}]}\n", "matches nothing in mergekit"),
        (
            "merge_method: moe\nbase_model: a/b\nexperts: [{source_model: a/b, noise_scale: 1}]\n",
            "`noise_scale` of an expert is not carried over",
        ),
        ("name: x\nmerge_method: linear\nmodels: [a/b]\n---\nname: x\nmerge_method: linear\nmodels: [a/b]\n", "one.yml:5:1, at `name`"),
        (
            "name: x\nmerge_method: linear\nmodels: [a/b]\n---\nmerge_method: linear\nmodels: [x+a/b]\n",
            "`x` is a merge, and adapters go with",
        ),
        ("merge_method: linear\n models: [a/b]\n", "is no YAML"),
        ("merge_method: linear\nmodels: 3\n", "one.yml:2:1, at `models`"),
        ("merge_method: linear\nmodels: [{model: a/b, parameters: 3}]\n", "this should be a table of keys"),
        ("merge_method: linear\nmodels: [3, null]\n", "this should be a table of keys"),
        ("merge_method: linear\n", "there is nothing to merge"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: [{filter: x}]}\n", "this rule has no value"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: [{value: []}]}\n", "this rule has no value"),
        ("merge_method: linear\nmodels: [a/b]\nparameters: {weight: []}\n", "this list is empty"),
        ("merge_method: linear\nmodels: [a/b]\nparameters:\n  weight: x\n", "one.yml:4:3, at `parameters.weight`\n  expected a number"),
        ("merge_method: slerp\nmodels: [a/b]\nparameters: {t: 1}\n", "one.yml:2:1, at `models`\nhint: add or remove inputs"),
        ("merge_method: linear\nslices: [{sources: [{model: a/b, layer_range: [2, 1]}]}]\n", "at `slices[0].sources[0].layer_range`"),
        ("merge_method: linear\nmodels: [a/b]\nname: a b\n", "`a b` is no name"),
        ("merge_method: moe\nexperts: 3\n", "this should be a list"),
        ("merge_method: slerp\nslices: {sources: 3}\n", "this should be a list"),
        ("a: &a [*a]\n", "is no mergekit configuration"),
        ("- a\n", "is no mergekit configuration"),
        ("merge_method: !!python/object/apply:os.mkdir [x]\n", "makes more than text and numbers"),
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
    assert 2 == run(".")
    assert "is a directory\nhint: name a mergekit configuration" in capsys.readouterr().err


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
    from modelbuild.plan.resolve import Spot, rule_at, value_of

    found = imported(tmp_path, f"merge_method: linear\nmodels:\n  - model: lab/a\n    parameters: {{weight: {values}}}\n")
    node = bind(parse(Path("M"), import_mergekit([tmp_path / "one.yml"])[0])).nodes["one"]
    chain = node.slices[0].inputs[0].chains["weight"]
    assert found
    for spot in (Spot("lm_head.weight", Part.HEAD, -1, (0, 5)), Spot("model.embed_tokens.weight", Part.EMBEDDING, -1, (0, 5))):
        assert values[0] == value_of(rule_at(chain, spot), spot)
    expected = np.interp(np.linspace(0, len(values) - 1, 5), range(len(values)), values)
    for layer in range(5):
        spot = Spot(f"model.layers.{layer}.mlp.up_proj.weight", Part.LAYERS, layer, (0, 5))
        assert value_of(rule_at(chain, spot), spot) == pytest.approx(expected[layer])

"""Outputs judged by transformers: they load with no key missing or left over, and generate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelbuild.checkpoint.header import read_header
from modelbuild.usecases import Where, build

ROOT = Path(__file__).parent.parent
FAMILY = ROOT / "examples" / "family"

EACH_METHOD = {
    "linear": 'inputs = ["code", "math"]',
    "slerp": 'inputs = ["code", "math"]\nt = 0.4',
    "task_arithmetic": 'base = "base"\ninputs = ["code", "math", "prose"]\nlambda = 0.6',
    "ties": 'base = "base"\ninputs = ["code", "math", "prose"]\ndensity = 0.5',
    "dare_linear": 'base = "base"\ninputs = ["code", "math"]\ndensity = 0.6\nweight = 0.6',
    "dare_ties": 'base = "base"\ninputs = ["code", "math"]\ndensity = 0.6',
    "passthrough": 'slices = [{ model = "code", layers = [0, 3] }, { model = "math", layers = [1, 4] }, { model = "base", layers = [3, 4] }]',
}


def loaded(directory: Path):
    """Load a model and its tokenizer, and check that every key was found and none left over."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, info = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()} == {
        key: set(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
    }
    return model, AutoTokenizer.from_pretrained(directory)


def generated(directory: Path) -> str:
    """Generate twelve tokens, greedily."""
    model, tokenizer = loaded(directory)
    prompt = tokenizer("3*7=", return_tensors="pt")
    tokens = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    return tokenizer.decode(tokens[0][prompt.input_ids.shape[1] :])


def modelfile(tmp_path: Path, merge: str) -> Where:
    sources = "".join(f'[source.{name}]\nfrom = "{FAMILY / name}"\n' for name in ("base", "code", "math", "prose"))
    (tmp_path / "Modelfile.toml").write_text(sources + merge)
    return Where(tmp_path / "Modelfile.toml")


@pytest.mark.slow
@pytest.mark.parametrize("method", EACH_METHOD)
def test_every_methods_output_loads_and_generates(tmp_path: Path, method: str):
    build(modelfile(tmp_path, f'[merge.out]\nmethod = "{method}"\n{EACH_METHOD[method]}\n'))

    assert generated(tmp_path / "out" / "out")


@pytest.mark.slow
def test_the_example_loads_at_both_depths(tmp_path: Path):
    text = (ROOT / "Modelfile.example.toml").read_text().replace('"examples/', f'"{ROOT}/examples/')
    (tmp_path / "Modelfile.toml").write_text(text)
    build(Where(tmp_path / "Modelfile.toml"))

    assert (4, 6) == tuple(loaded(tmp_path / "out" / name)[0].config.num_hidden_layers for name in ("release", "deep"))
    assert generated(tmp_path / "out" / "release")
    assert generated(tmp_path / "out" / "deep")


@pytest.mark.parametrize("method", EACH_METHOD)
def test_every_methods_files_and_config_agree(tmp_path: Path, method: str):
    """Headers are sound, safetensors itself opens them, and config.json states their depth and type."""
    from safetensors import safe_open

    build(modelfile(tmp_path, f'[merge.out]\nmethod = "{method}"\n{EACH_METHOD[method]}\n'))
    out = tmp_path / "out" / "out"
    config = json.loads((out / "config.json").read_text())
    tensors = read_header(out / "model.safetensors")

    with safe_open(out / "model.safetensors", "np") as file:
        assert {info.name for info in tensors} == set(file.keys())
        assert {"format": "pt"} == file.metadata()
    assert config["num_hidden_layers"] == 1 + max(int(info.name.split(".")[2]) for info in tensors if ".layers." in info.name)
    assert {"BF16"} == {info.dtype for info in tensors}
    assert "bfloat16" == config["dtype"]
    assert (FAMILY / "base" / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()


def test_per_layer_lists_of_config_follow_the_layers_taken(tmp_path: Path):
    """Every list with one scalar a layer, from the config of the model that the layer came from."""
    from tests.support.checkpoints import llama_config, random_tensors, write_model

    for name, kinds in (("a", ["full_attention", "sliding_attention", "full_attention"]), ("b", ["sliding_attention"] * 3)):
        config = {**llama_config(3), "layer_types": kinds, "kv_heads_per_layer": [1, 2, 3], "eos_token_id": [5, 6, 7]}
        write_model(tmp_path / name, random_tensors(0), config=config)
    (tmp_path / "Modelfile.toml").write_text("""\
[source]
a.from = "a"
b.from = "b"
[merge.deep]
method = "passthrough"
slices = [{ model = "a", layers = [0, 2] }, { model = "b", layers = [1, 3] }, { model = "a", layers = [1, 2] }]
""")
    build(Where(tmp_path / "Modelfile.toml"))
    config = json.loads((tmp_path / "out" / "deep" / "config.json").read_text())

    assert 5 == config["num_hidden_layers"]
    assert ["full_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention"] == config["layer_types"]
    assert [1, 2, 2, 3, 2] == config["kv_heads_per_layer"]
    assert [5, 6, 7] == config["eos_token_id"]

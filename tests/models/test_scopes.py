"""Parts of models: a text model merged into what sees, an encoder alone, heads tied here and untied there, other names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modelbuild.errors import ModelbuildError
from modelbuild.usecases import Where, build
from tests.support.checkpoints import llama_config, random_tensors, read_model, write_file, write_model
from tests.support.projects import Project
from tests.support.zoo import GEMMA, GROUPED, ZOO, Kind, save


def merged(project: Project, text: str) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Build `out` of a, b and c, and return its tensors and config."""
    project.write('[source]\na.from = "a"\nb.from = "b"\n[merge.out]\n' + text)
    project.build()
    out = project.root / "out" / "out"
    return read_model(out), json.loads((out / "config.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeing", "reading", "base"),
    [
        ("LLaVA", Kind("LlamaConfig", {**GROUPED, "tie_word_embeddings": False}), "b"),
        ("LLaVA", Kind("LlamaConfig", {**GROUPED, "tie_word_embeddings": False}), "a"),
        ("Qwen2.5-VL", Kind("Qwen2Config", {**GROUPED, "tie_word_embeddings": False}), "a"),
        ("Gemma 3 multimodal", Kind("Gemma3TextConfig", GEMMA), "a"),
    ],
)
def test_a_text_model_is_merged_into_the_text_tower(tmp_path: Path, seeing: str, reading: Kind, base: str):
    """Whichever is the base, the result is the model that sees: its tower and projector as they were, its text merged."""
    from tests.models.merging import load

    save(ZOO[seeing], tmp_path / "a", 0)
    save(reading, tmp_path / "b", 1)
    (tmp_path / "Modelfile.toml").write_text(f"""\
[source]
a.from = "a"
b.from = "b"
[merge.out]
method = "task_arithmetic"
scope = "text"
dtype = "float32"
base = "{base}"
inputs = [{{ model = "{"b" if base == "a" else "a"}", weight = 0.25 }}]
""")
    build(Where(tmp_path / "Modelfile.toml"))

    sees, reads = read_model(tmp_path / "a"), read_model(tmp_path / "b")
    out = read_model(tmp_path / "out" / "out")
    weights = {"a": 0.75, "b": 0.25} if base == "a" else {"a": 0.25, "b": 0.75}
    merged = 0
    for name, values in out.items():
        text = next((own for own in reads if own == name or name.endswith(f".{own}")), None)
        if "vision" in name or "visual" in name or "projector" in name:
            assert np.array_equal(sees[name], values)
        else:
            np.testing.assert_allclose(weights["a"] * sees[name] + weights["b"] * reads[text], values, rtol=1e-5, atol=1e-6)
            merged += 1
    assert sees.keys() == out.keys()
    assert len(reads) == merged
    load(ZOO[seeing], tmp_path / "out" / "out")


@pytest.mark.slow
def test_layers_are_stacked_within_a_scope(tmp_path: Path):
    """An encoder made deeper, its decoder left alone; the text tower of a model that sees, deeper by layers of a text model."""
    from tests.models.merging import load

    save(ZOO["T5"], tmp_path / "a", 0)
    save(ZOO["LLaVA"], tmp_path / "b", 1)
    save(ZOO["Llama"], tmp_path / "c", 2)
    (tmp_path / "Modelfile.toml").write_text("""\
[source]
a.from = "a"
b.from = "b"
c.from = "c"
[merge.encoder]
method = "passthrough"
scope = "encoder"
slices = [{ model = "a", layers = [0, 3] }, { model = "a", layers = [1, 3] }]
[merge.seeing]
method = "passthrough"
scope = "text"
slices = [{ model = "b", layers = [0, 3] }, { model = "c", layers = [1, 3] }]
""")
    build(Where(tmp_path / "Modelfile.toml"))

    config = load(ZOO["T5"], tmp_path / "out" / "encoder").config
    assert (5, 2) == (config.num_layers, config.num_decoder_layers)
    config = load(ZOO["LLaVA"], tmp_path / "out" / "seeing").config
    assert (5, 2) == (config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers)
    llama, out = read_model(tmp_path / "c"), read_model(tmp_path / "out" / "seeing")
    assert np.array_equal(llama["model.layers.2.mlp.up_proj.weight"], out["language_model.model.layers.4.mlp.up_proj.weight"])
    assert np.array_equal(llama["lm_head.weight"], out["language_model.lm_head.weight"])


def test_a_tied_head_and_one_of_its_own_become_one_of_its_own(project: Project):
    """The embedding stands for the head of the tied model, and config.json says that the result is not tied."""
    tied = {name: values for name, values in random_tensors(0).items() if name != "lm_head.weight"}
    project.model("a", tied, dtype="F32", config={**llama_config(3), "tie_word_embeddings": True})
    project.model("b", random_tensors(1), dtype="F32")

    tensors, config = merged(project, 'method = "linear"\ninputs = ["a", "b"]')

    a, b = tied["model.embed_tokens.weight"], random_tensors(1)["lm_head.weight"]
    np.testing.assert_allclose((a + b) / 2, tensors["lm_head.weight"], rtol=1e-6)
    assert config["tie_word_embeddings"] is False


def test_heads_that_are_tied_and_written_all_the_same_stay_tied(project: Project):
    values = random_tensors(0)
    config = {**llama_config(3), "tie_word_embeddings": True}
    project.model("a", {**values, "lm_head.weight": values["model.embed_tokens.weight"]}, config=config)
    project.model("b", {name: values for name, values in random_tensors(1).items() if name != "lm_head.weight"}, config=config)

    tensors, config = merged(project, 'method = "linear"\ninputs = ["a", "b"]')

    assert "lm_head.weight" not in tensors
    assert config["tie_word_embeddings"] is True


def test_a_head_that_is_said_to_be_tied_and_is_not_is_an_error(project: Project):
    project.model("a", random_tensors(0), config={**llama_config(3), "tie_word_embeddings": True})
    project.model("b", random_tensors(1), config={**llama_config(3), "tie_word_embeddings": True})

    with pytest.raises(ModelbuildError, match=r"a::lm_head\.weight"):
        merged(project, 'method = "linear"\ninputs = ["a", "b"]')


def test_models_that_call_the_same_tensors_otherwise_are_merged(project: Project):
    """As sentence encoders do beside the models they were made from: without the first word of each name."""
    a, b = random_tensors(0), random_tensors(1)
    project.model("a", a, dtype="F32")
    bare = {name.removeprefix("model."): values for name, values in b.items()}
    project.model("b", b)
    write_file(project.root / "b" / "model.safetensors", bare, "F32")

    tensors, _ = merged(project, 'method = "linear"\ninputs = ["a", "b"]')

    assert a.keys() == tensors.keys()
    for name, values in tensors.items():
        np.testing.assert_allclose((a[name] + b[name]) / 2, values, rtol=1e-6)


def test_buffers_that_only_one_model_has_are_left_out_by_name(project: Project):
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32) for i in range(3)}
    project.model("a", random_tensors(0) | buffers)
    project.model("b", random_tensors(1))
    project.write('[source]\na.from = "a"\nb.from = "b"\n[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]')

    outcome = project.build()

    assert random_tensors(0).keys() == read_model(project.root / "out" / "out").keys()
    listed = ", ".join(f"`{name}`" for name in buffers)
    assert [f"`out` leaves out {listed}, which not all models have and every program computes"] == list(outcome.warnings)


def test_a_scope_that_matches_nothing_is_told(project: Project):
    project.family()
    project.write('[source]\na.from = "base"\nb.from = "code"\n[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]\nscope = "vision"')

    with pytest.raises(ModelbuildError, match="the scope `vision` matches no tensor of `a`"):
        project.build()


def test_models_that_are_unlike_are_told_apart_side_by_side(project: Project):
    """Before any work: what the configs say, in one problem."""
    write_model(project.root / "a", random_tensors(0), config={**llama_config(3), "num_key_value_heads": 1, "model_type": "mistral"})
    project.model("b", {name: values[: len(values) // 2] if "k_proj" in name else values for name, values in random_tensors(1).items()})
    project.write('[source]\na.from = "a"\nb.from = "b"\n[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]')

    with pytest.raises(ModelbuildError) as caught:
        project.build()

    (problem,) = caught.value.problems
    assert "`a` and `b` do not fit together" == problem.what
    assert ("model_type: mistral in `a`, llama in `b`", "num_key_value_heads: 1 in `a`, 2 in `b`") == problem.facts[-2:]

"""Mixtures of experts: loaded by transformers, computed as the dense models do, and sending text to whom it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modelbuild.engine import gates
from modelbuild.errors import ModelbuildError, Problem
from modelbuild.usecases import Where, build
from tests.models.test_vocabularies import tokenizer
from tests.support.checkpoints import llama_config, random_tensors, read_model
from tests.support.projects import Project
from tests.support.zoo import GEMMA, GROUPED, Kind, save

FAMILY = Path(__file__).parents[2] / "examples" / "family"
KINDS = {
    "Llama": (Kind("LlamaConfig", {**GROUPED, "tie_word_embeddings": False}), "MixtralForCausalLM"),
    "Mistral": (Kind("MistralConfig", GROUPED), "MixtralForCausalLM"),
    "Qwen2": (Kind("Qwen2Config", {**GROUPED, "tie_word_embeddings": True}), "Qwen2MoeForCausalLM"),
    "Qwen3": (Kind("Qwen3Config", GEMMA), "Qwen3MoeForCausalLM"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_mixture_of_one_model_is_that_model(tmp_path: Path, name: str):
    """Whatever the gates say: experts that are equal are the dense layer; a shared one is added to them by a half."""
    import torch

    from tests.models.merging import TOKENS, load

    kind, architecture = KINDS[name]
    save(kind, tmp_path / "a", 0)
    shared = 'shared_experts = ["a"]\n' if name == "Qwen2" else ""
    (tmp_path / "Modelfile.toml").write_text(f"""\
[source.a]
from = "a"
[merge.out]
method = "moe"
base = "a"
experts = ["a", "a", "a"]
gate = "random"
{shared}""")
    build(Where(tmp_path / "Modelfile.toml"))

    mixed, dense = load(kind, tmp_path / "out" / "out"), load(kind, tmp_path / "a")
    assert architecture == type(mixed).__name__
    if shared:
        for layer in dense.model.layers:
            layer.mlp.down_proj.weight.data *= 1.5
    with torch.no_grad():
        torch.testing.assert_close(mixed(TOKENS).logits, dense(TOKENS).logits, rtol=1e-3, atol=1e-4)
        assert mixed.generate(TOKENS, max_new_tokens=4, do_sample=False).shape[1] == TOKENS.shape[1] + 4


def mixture(project: Project, more: str = "") -> dict[str, np.ndarray]:
    """Build a mixture of two fine-tunes that have a tokenizer, and return its tensors."""
    project.family()
    made = tokenizer()
    for name in ("base", "code", "math"):
        tensors = random_tensors(0)
        rows = (made.get_vocab_size(), 16)
        tensors["model.embed_tokens.weight"] = np.random.default_rng(0).normal(0, 1, rows).astype(np.float32)
        project.model(name, tensors, dtype="F32")
        made.save(str(project.root / name / "tokenizer.json"))
    project.write(f"""\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.out]
method = "moe"
base = "base"
experts = [
  {{ model = "code", positive_prompts = ["pack my box"], negative_prompts = ["a lazy dog"] }},
  {{ model = "math", positive_prompts = ["quick brown fox", "five dozen"] }},
]
{more}
""")
    project.build()
    return read_model(project.root / "out" / "out")


def test_gates_of_embeddings_are_the_directions_of_prompts(project: Project):
    """By hand: the mean of a prompt's embeddings, less that of the negative one, less what both experts share, of length 1."""
    tensors = mixture(project, 'gate = "cheap_embed"')
    embedding, made = tensors["model.embed_tokens.weight"].astype(np.float64), tokenizer()

    def mean(text: str) -> np.ndarray:
        return embedding[made.encode(text).ids].mean(0)

    code = mean("pack my box") - mean("a lazy dog")
    math = (mean("quick brown fox") + mean("five dozen")) / 2
    apart, shared = (code - math) / 2, (code + math) / 2
    apart -= (apart @ shared) / (shared @ shared) * shared
    expected = apart / np.linalg.norm(apart)
    for layer in range(3):
        gate = tensors[f"model.layers.{layer}.block_sparse_moe.gate.weight"]
        np.testing.assert_allclose([expected, -expected], gate, rtol=1e-5, atol=1e-6)


def test_experts_are_the_layers_of_the_models_and_the_rest_is_the_base(project: Project):
    tensors = mixture(project, 'gate = "random"')
    base, math = read_model(project.root / "base"), read_model(project.root / "math")

    assert np.array_equal(math["model.layers.2.mlp.down_proj.weight"], tensors["model.layers.2.block_sparse_moe.experts.1.w2.weight"])
    for name, values in base.items():
        assert ".mlp." in name or np.array_equal(values, tensors[name])
    config = json.loads((project.root / "out" / "out" / "config.json").read_text())
    assert (["MixtralForCausalLM"], "mixtral", 2, 2) == tuple(
        config[key] for key in ("architectures", "model_type", "num_local_experts", "num_experts_per_tok")
    )


def test_only_gates_are_found_again_where_prompts_change(project: Project):
    mixture(project, 'gate = "cheap_embed"')
    before = project.hashes("out")
    project.edit("pack my box", "pack my box with jugs")

    again = project.build()

    assert 1 + 3 == again.actions.run
    project.edit("pack my box with jugs", "pack my box")
    assert 0 == project.build().actions.run
    assert before == project.hashes("out")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (', positive_prompts = ["quick brown fox", "five dozen"]', "", "the expert `math` has no prompts"),
        ('gate = "random"', 'gate = "random"\nexperts_per_token = 3', "more experts than there are"),
        ('gate = "random"', 'gate = "random"\nshared_experts = ["math"]', "MixtralForCausalLM has no shared experts"),
        ('gate = "random"', 'gate = "random"\ndensity = 0.5', "unknown key `density`"),
        ('base = "base"', 'base = "base"\ninputs = ["math"]', "a mixture of experts has no `inputs`"),
        ('method = "moe"', 'method = "linear"\ninputs = ["math"]', "`experts` is of mixtures of experts"),
    ],
)
def test_a_mixture_that_cannot_be_is_told(project: Project, old: str, new: str, said: str):
    mixture(project, 'gate = "random"')
    if "positive" in old:
        project.edit('gate = "random"', 'gate = "cheap_embed"')
    project.edit(old, new)

    with pytest.raises(ModelbuildError) as caught:
        project.build()

    assert said in str(caught.value)


def test_an_expert_of_another_shape_is_told(project: Project):
    mixture(project, 'gate = "random"')
    tensors = random_tensors(0)
    project.model("math", {name: values[:12] if "up_proj" in name else values for name, values in tensors.items()}, dtype="F32")

    with pytest.raises(ModelbuildError, match="`math` cannot be an expert beside `base`"):
        project.build()


def unfound(project: Project) -> Problem:
    """Build, and return why there are no gates."""
    (problem,) = project.build(jobs=1).problems
    return problem


def test_a_tokenizer_that_splits_nothing_is_told_with_the_model(project: Project):
    """Its words have rows, but nothing says how a text becomes words."""
    mixture(project, 'gate = "random"')
    (project.root / "base" / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    project.edit('gate = "random"', 'gate = "cheap_embed"')

    problem = unfound(project)

    assert ("the tokenizer of `base` is not read", "copy or download it again") == (problem.what, problem.hint)


def test_a_base_that_does_not_fit_into_memory_is_not_loaded(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gates, "available", lambda: 1000)
    mixture(project, 'gate = "random"')
    project.edit('gate = "random"', 'gate = "hidden"')

    assert """\
error: there is too little memory to find gates
  96.6 kB needed to run `base` in float32, 1.0 kB free
hint: write `gate = "cheap_embed"`""" == str(unfound(project))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "fact"),
    [
        (300, "LlamaForCausalLM has no `model.layers.0.self_attn.extra.weight`"),
        (40, "Error(s) in loading state_dict for LlamaForCausalLM: size mismatch for model.embed_tokens.weight: "),
    ],
)
def test_a_base_with_tensors_that_its_class_has_not_is_told(project: Project, rows: int, fact: str):
    """It would find gates without them."""
    mixture(project, 'gate = "random"')
    for name in ("base", "code", "math"):
        tensors = read_model(project.root / name)
        more = {"lm_head.weight": tensors["model.embed_tokens.weight"], "model.layers.0.self_attn.extra.weight": np.zeros(16, np.float32)}
        project.model(name, {**tensors, **more}, dtype="F32", config={**llama_config(3), "vocab_size": rows})
    project.edit('gate = "random"', 'gate = "hidden"')

    problem = unfound(project)

    assert "`base` cannot be run to find gates" == problem.what
    assert problem.facts[0].startswith(fact)


PROMPTS = {
    "code": [
        "#pragma once\n\n#include <c10/core/Device.h>\n\nnamespace at {\n",
        "template <typename T>\nstatic inline void copy(const T* src, T* dst, int64_t n) {\n  for (int64_t i = 0; i < n; i++) {",
        "def __init__(self, name):\n        self.name = name\n        return None",
    ],
    "math": ["3*7=21\n6*8=48", "9*4=36\n2*5=10", "1*8=08\n7*7=49"],
    "prose": [
        "The captain stood upon the deck, and looked out to the sea.",
        '"I do not know," said he, "what the whale is; but I have seen it."',
        "CHAPTER 12. There was a silence in the old ship, and no man spoke.",
    ],
}


@pytest.mark.slow
def test_text_goes_to_the_expert_of_its_domain(tmp_path: Path):
    """Three specialists of the example family: held-out text of each goes first to its own expert more often than by chance."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sources = "".join(f'[source.{name}]\nfrom = "{FAMILY / name}"\n' for name in ("base", *PROMPTS))
    experts = ",\n".join(f"{{ model = '{name}', positive_prompts = {json.dumps(texts)} }}" for name, texts in PROMPTS.items())
    (tmp_path / "Modelfile.toml").write_text(
        f'{sources}[merge.out]\nmethod = "moe"\nbase = "base"\nexperts = [\n{experts}\n]\ngate = "hidden"\nexperts_per_token = 1\n'
    )
    build(Where(tmp_path / "Modelfile.toml"))

    model, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "out", output_loading_info=True, dtype=torch.float32)
    assert not any(info.values()), info
    chosen: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.mlp.gate.register_forward_hook(lambda _, given, said: chosen.append((given[0].reshape(-1, 192) @ _.weight.T).argmax(-1)))
    windows = load_file(FAMILY / "heldout.safetensors")
    shares = {}
    for number, domain in enumerate(PROMPTS):
        chosen.clear()
        with torch.no_grad():
            model(windows[f"test.{domain}"][:32].long(), use_cache=False)
        shares[domain] = (torch.stack(chosen) == number).float().mean().item()
    assert all(share > 1 / 3 for share in shares.values()), shares  # 0.65, 0.95, 0.85 when this was written
    prompt = AutoTokenizer.from_pretrained(tmp_path / "out" / "out")("3*7=", return_tensors="pt")
    assert model.generate(prompt.input_ids, max_new_tokens=4, do_sample=False).shape[1] > prompt.input_ids.shape[1]

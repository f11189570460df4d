"""Checkpoints of many architectures, as transformers saves them, merge and load again without a missing or left-over key."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.build import Where, build

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 64}
KINDS = {
    "Qwen2, tied": ("Qwen2Config", {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True}, "CausalLM"),
    "Gemma 3": ("Gemma3TextConfig", {**SMALL, "num_key_value_heads": 2, "head_dim": 8}, "CausalLM"),
    "Mixtral": ("MixtralConfig", {**SMALL, "num_key_value_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 2}, "CausalLM"),
    "Phi-3": ("Phi3Config", {**SMALL, "num_key_value_heads": 2, "pad_token_id": 0}, "CausalLM"),
    "GPT-2": ("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 64, "n_positions": 32}, "CausalLM"),
    "Mamba": ("MambaConfig", {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 64}, "CausalLM"),
    "BERT": ("BertConfig", SMALL, "MaskedLM"),
    "T5": ("T5Config", {"d_model": 32, "d_ff": 48, "num_layers": 3, "num_heads": 4, "d_kv": 8, "vocab_size": 64}, "Seq2SeqLM"),
}
MERGES = """\
[source]
a.from = "0"
b.from = "1"
c.from = "2"
[merge.average]
method = "linear"
inputs = ["a", "b"]
[merge.skills]
method = "ties"
base = "a"
inputs = ["b", "c"]
density = 0.5
"""
DEEPER = """\
[merge.deep]
method = "passthrough"
slices = [{ model = "a", layers = [0, 2] }, { model = "b", layers = [0, 3] }]
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_architecture_merges_and_loads(tmp_path: Path, kind: str):
    """linear, ties, and a stack of five layers out of three; T5 has two stacks, and so no slices yet."""
    import torch
    import transformers

    config, values, head = KINDS[kind]
    auto = getattr(transformers, f"AutoModelFor{head}")
    for seed in range(3):
        torch.manual_seed(seed)
        auto.from_config(getattr(transformers, config)(**values)).to(torch.bfloat16).save_pretrained(tmp_path / str(seed))
    (tmp_path / "Modelfile.toml").write_text(MERGES + ("" if kind == "T5" else DEEPER))

    outcome = build(Where(tmp_path / "Modelfile.toml"))

    for target in outcome.targets:
        _, info = auto.from_pretrained(target.path, output_loading_info=True)
        assert not any(info.values()), (target.name, info)

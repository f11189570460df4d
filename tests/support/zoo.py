"""Small models of many architectures, randomly initialised by transformers and saved as it saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 64, "pad_token_id": 0}
GROUPED = {**TEXT, "num_key_value_heads": 2}
GEMMA = {**GROUPED, "head_dim": 8}
VIT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
DEEPSEEK = {
    "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "kv_lora_rank": 8,
    "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1, "num_key_value_heads": 4,
}  # fmt: skip
QWEN_VL = {
    "text_config": {**GROUPED, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}},
    "vision_config": {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "out_hidden_size": 32, "patch_size": 4,
        "fullatt_block_indexes": [1], "window_size": 16,
    },
    "image_token_id": 60, "video_token_id": 61, "vision_start_token_id": 62, "vision_end_token_id": 63,
}  # fmt: skip
WHISPER = {
    "d_model": 32, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "vocab_size": 64, "num_mel_bins": 8, "max_source_positions": 16, "max_target_positions": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """An architecture: transformers' config class, its values, and the auto class that loads it.

    `stack` is what the layers that slices take are called on disk, and `depth` how many there are.
    """

    config: str
    values: Mapping[str, Any]
    auto: str = "CausalLM"
    stack: str = "model.layers"
    depth: int = 3


ZOO = {
    "Llama": Kind("LlamaConfig", {**GROUPED, "tie_word_embeddings": False}),
    "Llama, tied": Kind("LlamaConfig", {**GROUPED, "tie_word_embeddings": True}),
    "Mistral": Kind("MistralConfig", GROUPED),
    "Mixtral": Kind("MixtralConfig", {**GROUPED, "num_local_experts": 3, "num_experts_per_tok": 2}),
    "Qwen2": Kind("Qwen2Config", {**GROUPED, "tie_word_embeddings": True}),
    "Qwen3": Kind("Qwen3Config", GEMMA),
    "Qwen3-MoE": Kind("Qwen3MoeConfig", {**GEMMA, **EXPERTS}),
    "Gemma 2": Kind("Gemma2Config", GEMMA),
    "Gemma 3": Kind("Gemma3TextConfig", GEMMA),
    "Phi-3": Kind("Phi3Config", GROUPED),
    "GPT-2": Kind("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 64, "n_positions": 32}, stack="transformer.h"),
    "GPT-NeoX": Kind("GPTNeoXConfig", TEXT, stack="gpt_neox.layers"),
    "OLMo 2": Kind("Olmo2Config", GROUPED),
    "Falcon": Kind("FalconConfig", {**TEXT, "new_decoder_architecture": False}, stack="transformer.h"),
    "StarCoder2": Kind("Starcoder2Config", GROUPED),
    "Cohere 2": Kind("Cohere2Config", GROUPED),
    "DeepSeek-V3": Kind("DeepseekV3Config", {**TEXT, **DEEPSEEK}),
    "Mamba": Kind("MambaConfig", {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 64}, stack="backbone.layers"),
    "T5": Kind(
        "T5Config", {"d_model": 32, "d_ff": 48, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "d_kv": 8, "vocab_size": 64},
        "Seq2SeqLM", "decoder.block", 2,
    ),
    "Whisper": Kind("WhisperConfig", WHISPER, "SpeechSeq2Seq", "model.decoder.layers", 2),
    "BERT": Kind("BertConfig", TEXT, "MaskedLM", "bert.encoder.layer"),
    "RoBERTa": Kind("RobertaConfig", {**TEXT, "max_position_embeddings": 40}, "MaskedLM", "roberta.encoder.layer"),
    "ViT": Kind("ViTConfig", VIT, "ImageClassification", "vit.encoder.layer", 2),
    "CLIP": Kind("CLIPConfig", {"text_config": TEXT, "vision_config": VIT, "projection_dim": 16}, "Model", "text_model.encoder.layers"),
    "Qwen2.5-VL": Kind("Qwen2_5_VLConfig", QWEN_VL, "ImageTextToText", "model.layers"),
    "LLaVA": Kind(
        "LlavaConfig", {"text_config": {**GROUPED, "model_type": "llama"}, "vision_config": {**VIT, "model_type": "clip_vision_model", "projection_dim": 16}, "image_token_index": 63},
        "ImageTextToText", "language_model.model.layers",
    ),
    "Gemma 3 multimodal": Kind(
        "Gemma3Config", {"text_config": GEMMA, "vision_config": {**VIT, "image_size": 32}, "mm_tokens_per_image": 4, "image_token_index": 63, "boi_token_index": 61, "eoi_token_index": 62},
        "ImageTextToText", "language_model.model.layers",
    ),
}  # fmt: skip


def save(kind: Kind, directory: Path, seed: int, **changed: Any) -> None:
    """Make a random bfloat16 model of a kind, as transformers saves it."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = getattr(transformers, kind.config)(**{**kind.values, **changed})
    auto = getattr(transformers, "AutoModel" if kind.auto == "Model" else f"AutoModelFor{kind.auto}")
    auto.from_config(config).to(torch.bfloat16).save_pretrained(directory)


def with_more_tokens(kind: Kind, more: int) -> dict[str, Any]:
    """Return what changes in a kind's values where its vocabulary has more rows."""
    if "text_config" in kind.values:
        return {"text_config": {**kind.values["text_config"], "vocab_size": 64 + more}}
    return {"vocab_size": 64 + more}


def reads(kind: Kind) -> bool:
    """Tell whether a kind has a vocabulary."""
    return "vocab_size" in kind.values or "text_config" in kind.values


HEAD = """\
# Models

Nothing in modelbuild is a list of architectures. Stacks of layers, embeddings, heads, towers and experts are found from the
names and shapes of tensors and from config.json; what a small table adds is in
[sections](../modelbuild/checkpoint/sections.py) and [config](../modelbuild/checkpoint/config.py). So this is a list of what is
checked, not of what can be merged. `python -m tests.support.zoo` writes it, from the table that the tests run over.

For each architecture small models are initialised at random and saved by transformers 5. They are merged on disk, and the
same merge is made of their modules, in float32. Then transformers loads what was written: no key may be missing, unexpected
or of another shape, every parameter must be that of the merged modules within 1e-6, and the logits those of the merged
modules within 1e-4.

- **linear**: of two, with weights 0.7 and 0.3; **ties**: of two and a base, without trimming.
- **slice**: all layers of one model and all but the first of another, on top of each other: a deeper model.
- **tokenizer union**: linear of two whose vocabularies have 64 and 66 tokens.

| architecture | loaded as | layers that slices take | linear | ties | slice | tokenizer union |
|---|---|---|---|---|---|---|
"""
FOOT = """
Beside these: a pretrained sentence encoder (all-MiniLM-L6-v2, a BertModel) keeps its meaning through linear and ties, and
loads with more layers. Text models are merged into the text towers of LLaVA, Qwen2.5-VL and Gemma 3, an encoder of T5 is made
deeper by itself, tied heads are merged with heads of their own: the tests are in `tests/models`.
"""


def page() -> str:
    """Return the page on models."""
    rows = [
        f"| {name} | `AutoModel{'' if kind.auto == 'Model' else 'For' + kind.auto}` | `{kind.stack}` | logits | logits | logits |"
        f" {'logits' if reads(kind) else 'has no tokens'} |"
        for name, kind in ZOO.items()
    ]
    return HEAD + "\n".join(rows) + "\n" + FOOT


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "models.md").write_text(page())

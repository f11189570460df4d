"""Small models with tokenizers, written with numpy and json alone, and outputs to be exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.support.checkpoints import Tensors, write_model
from tests.support.projects import Project

HIDDEN, INTER, HEADS, WIDTH = 64, 96, 4, 16
"""Rows of 32 numbers and more, which every type of GGUF has blocks for."""

SPECIAL = ("<s>", "</s>", "<|user|>")
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
_LETTERS = "abcdefghijklmnopqrstuvwxyzĠĊ"
_MERGES = (("t", "h"), ("th", "e"), ("Ġ", "the"))
VOCABULARY = {text: at for at, text in enumerate((*SPECIAL[:2], *_LETTERS, *("".join(pair) for pair in _MERGES)))}

CHARACTERS = "▁abcdeht"
PIECES = {
    text: at for at, text in enumerate(("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *CHARACTERS, "th", "the"))
}

MODELFILE = """\
[source.base]
from = "base"
[source.code]
from = "code"
[merge.release]
method = "linear"
inputs = ["base", "code"]
"""


def shapes(rows: int, *, layers: int = 2, biases: bool = False) -> dict[str, tuple[int, ...]]:
    """Shapes of a model of the Llama kind with half as many key heads as heads, by name."""
    table: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, HIDDEN)}
    for i in range(layers):
        at = f"model.layers.{i}."
        for name, height in (("q", HEADS), ("k", HEADS // 2), ("v", HEADS // 2)):
            table[f"{at}self_attn.{name}_proj.weight"] = (height * WIDTH, HIDDEN)
            table |= {f"{at}self_attn.{name}_proj.bias": (height * WIDTH,)} if biases else {}
        table |= {f"{at}self_attn.o_proj.weight": (HIDDEN, HEADS * WIDTH), f"{at}mlp.down_proj.weight": (HIDDEN, INTER)}
        table |= {f"{at}mlp.{name}_proj.weight": (INTER, HIDDEN) for name in ("gate", "up")}
        table |= {f"{at}{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
    return table | {"model.norm.weight": (HIDDEN,), "lm_head.weight": (rows, HIDDEN)}


def config(rows: int, kind: str = "llama", layers: int = 2, **more: object) -> dict[str, object]:
    """config.json of that model."""
    return {
        "architectures": [f"{kind.capitalize()}ForCausalLM"], "model_type": kind, "hidden_size": HIDDEN, "intermediate_size": INTER,
        "vocab_size": rows, "num_hidden_layers": layers, "num_attention_heads": HEADS, "num_key_value_heads": HEADS // 2, "head_dim": WIDTH,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "hidden_act": "silu", "dtype": "float32",
        "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": [1, 33], **more,
    }  # fmt: skip


def tensors(seed: int, table: dict[str, tuple[int, ...]]) -> Tensors:
    """Values for such shapes."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in table.items()}


def byte_level(cutter: object = None) -> dict[str, object]:
    """A tokenizer.json of byte-level BPE; `cutter` is its pre_tokenizer, GPT-2's where it is None."""
    return {
        "version": "1.0", "normalizer": None, "pre_tokenizer": cutter or {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel"}, "added_tokens": [*(_added(at, text) for at, text in enumerate(SPECIAL[:2])), _added(33, SPECIAL[2])],
        "model": {"type": "BPE", "vocab": VOCABULARY, "merges": [list(pair) for pair in _MERGES], "byte_fallback": False},
    }  # fmt: skip


def with_bytes_to_fall_back_on() -> dict[str, object]:
    """A tokenizer.json as SentencePiece's models become."""
    space = {
        "type": "Sequence",
        "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}],
    }
    return {
        "version": "1.0", "normalizer": space, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "added_tokens": [_added(0, "<unk>"), _added(1, "<s>"), _added(2, "</s>")],
        "model": {"type": "BPE", "vocab": PIECES, "merges": ["t h", "th e"], "byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True},
    }  # fmt: skip


def _added(at: int, text: str) -> dict[str, object]:
    return {"id": at, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def write_source(
    directory: Path,
    seed: int,
    tokenizer: object,
    *,
    rows: int = 40,
    kind: str = "llama",
    biases: bool = False,
    dtype: str = "F32",
    **more: object,
) -> Tensors:
    """Write a model with its tokenizer; return its values."""
    values = tensors(seed, shapes(rows, biases=biases))
    write_model(directory, values, dtype=dtype, config=config(rows, kind, **more))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    told = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": TEMPLATE}
    (directory / "tokenizer_config.json").write_text(json.dumps(told))
    return values


def write_project(project: Project, export: str, tokenizer: object = None, **options: object) -> Tensors:
    """Write a project of two sources, a merge of both with equal weights, and an export; return the values of the merge."""
    both = [write_source(project.root / name, seed, tokenizer or byte_level(), **options) for seed, name in enumerate(("base", "code"))]  # type: ignore[arg-type]
    project.write(MODELFILE + export)
    return {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}

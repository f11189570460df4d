"""Small random families of other architectures than the example models', as transformers writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from .comparing import floats, read, rounded

if TYPE_CHECKING:
    from pathlib import Path

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320}
GROUPED = SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": False}
SHAPES = {
    "Llama": ("LlamaConfig", GROUPED, "ForCausalLM"),
    "Qwen2": ("Qwen2Config", GROUPED, "ForCausalLM"),
    "Mistral": ("MistralConfig", GROUPED, "ForCausalLM"),
    "GPT-2": ("GPT2Config", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 320, "n_positions": 64}, "ForCausalLM"),
    "BERT": ("BertConfig", SIZES, "ForSequenceClassification"),
}
"""By name: the class of its config, what that is given, and the head on it; mergekit asks BERT for a pooler, which
models with its head for masks lack, and stops at the plain one."""

SPREAD, STEP = 0.02, 0.002
"""Standard deviations: of a base's weights, around what initialisation gave, and of what a fine-tune adds to them."""


def write(shape: str, home: Path) -> None:
    """Write `base`, `code`, `math` and `prose` of a shape below `home`, in bfloat16."""
    import torch
    import transformers
    from safetensors.torch import save_file

    config, given, head = SHAPES[shape]
    transformers.utils.logging.disable_progress_bar()
    seed = crc32(shape.encode())
    torch.manual_seed(seed)
    model = getattr(transformers, f"AutoModel{head}").from_config(getattr(transformers, config)(**given))
    for member in ("base", "code", "math", "prose"):
        model.to(torch.bfloat16).save_pretrained(home / member)
    start = {name: floats(bits) for name, bits in read(home / "base").items()}
    rng = np.random.default_rng(seed)
    base = {name: values + SPREAD * rng.standard_normal(values.shape, np.float32) for name, values in start.items()}
    for member in ("base", "code", "math", "prose"):
        step = 0.0 if member == "base" else STEP
        tensors = {
            name: torch.from_numpy(rounded(values + step * rng.standard_normal(values.shape, np.float32)).view(np.int16)).view(
                torch.bfloat16
            )
            for name, values in base.items()
        }
        save_file(tensors, home / member / "model.safetensors", {"format": "pt"})

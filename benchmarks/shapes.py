"""The shapes of the models that are merged: Qwen2's, and a tiny one to try the harness with.

Imports nothing heavy, like all that runs in the process that measures: see `measure`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

BYTES = 2
"""Of a bfloat16."""


@dataclass(frozen=True)
class Shape:
    """A Qwen2 model.

    Args:
        name: on the command line, and of the directory.
        layers: of the stack.
        hidden: width.
        inter: width inside the mlp.
        heads: of attention.
        kv_heads: of its keys and values.
        vocab: rows of the embedding.
        tied: whether the head is the embedding.

    """

    name: str
    layers: int
    hidden: int
    inter: int
    heads: int
    kv_heads: int
    vocab: int
    tied: bool = True

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor by name, layer by layer."""
        keys = self.hidden // self.heads * self.kv_heads
        found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab, self.hidden)}
        for layer in range(self.layers):
            found |= {f"model.layers.{layer}.{name}": shape for name, shape in self._layer(keys).items()}
        found["model.norm.weight"] = (self.hidden,)
        return found if self.tied else {**found, "lm_head.weight": (self.vocab, self.hidden)}

    def nbytes(self, layers: int | None = None) -> int:
        """Return the bytes of the weights, with another number of layers if one is given."""
        sizes = {name: BYTES * prod(shape) for name, shape in self.tensors().items()}
        layer = sum(size for name, size in sizes.items() if name.startswith("model.layers.0."))
        return sum(sizes.values()) + layer * ((self.layers if layers is None else layers) - self.layers)

    def config(self) -> dict[str, object]:
        """Return config.json, in the words of the models on the hub."""
        return {
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": self.inter,
            "max_position_embeddings": 131072,
            "max_window_layers": self.layers,
            "model_type": "qwen2",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0,
            "sliding_window": 131072,
            "tie_word_embeddings": self.tied,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": self.vocab,
        }

    def _layer(self, keys: int) -> dict[str, tuple[int, ...]]:
        return {
            "input_layernorm.weight": (self.hidden,),
            "mlp.down_proj.weight": (self.hidden, self.inter),
            "mlp.gate_proj.weight": (self.inter, self.hidden),
            "mlp.up_proj.weight": (self.inter, self.hidden),
            "post_attention_layernorm.weight": (self.hidden,),
            "self_attn.k_proj.bias": (keys,),
            "self_attn.k_proj.weight": (keys, self.hidden),
            "self_attn.o_proj.weight": (self.hidden, self.hidden),
            "self_attn.q_proj.bias": (self.hidden,),
            "self_attn.q_proj.weight": (self.hidden, self.hidden),
            "self_attn.v_proj.bias": (keys,),
            "self_attn.v_proj.weight": (keys, self.hidden),
        }


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("tiny", layers=8, hidden=256, inter=1024, heads=4, kv_heads=2, vocab=16384),
        Shape("qwen2-0.5b", layers=24, hidden=896, inter=4864, heads=14, kv_heads=2, vocab=151936),
        Shape("qwen2-1.5b", layers=28, hidden=1536, inter=8960, heads=12, kv_heads=2, vocab=151936),
        Shape("qwen2-7b", layers=28, hidden=3584, inter=18944, heads=28, kv_heads=4, vocab=152064, tied=False),
    )
}
DEFAULT = "qwen2-0.5b"

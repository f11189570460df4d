"""Small checkpoints with the names and config of a Llama model, written with numpy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from modelbuild.checkpoint.header import lay_out, read_header

Tensors = Mapping[str, np.ndarray]
"""float32 arrays by name."""

HIDDEN, INTER, VOCAB = 16, 24, 40


def llama_shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a Llama model of `layers` layers, by name."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    for i in range(layers):
        at = f"model.layers.{i}."
        shapes |= {f"{at}self_attn.{p}_proj.weight": (HIDDEN, HIDDEN) for p in "qkvo"}
        shapes |= {
            f"{at}mlp.gate_proj.weight": (INTER, HIDDEN),
            f"{at}mlp.up_proj.weight": (INTER, HIDDEN),
            f"{at}mlp.down_proj.weight": (HIDDEN, INTER),
        }
        shapes |= {f"{at}input_layernorm.weight": (HIDDEN,), f"{at}post_attention_layernorm.weight": (HIDDEN,)}
    return shapes | {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCAB, HIDDEN)}


def llama_config(layers: int) -> dict[str, object]:
    """config.json of that model."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTER, "vocab_size": VOCAB,
        "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "dtype": "bfloat16", "tie_word_embeddings": False,
        "layer_types": ["full_attention"] * layers, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    }  # fmt: skip


def random_tensors(seed: int, layers: int = 3, near: Tensors | None = None) -> dict[str, np.ndarray]:
    """Values of a random model; `near` another one, as a fine-tune is."""
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in llama_shapes(layers).items()}
    return {name: (near[name] + value / 5).astype(np.float32) for name, value in values.items()} if near else values


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round finite float32 to the nearest bfloat16, ties to even; the bits as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Widen bfloat16 bits to float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def write_file(path: Path, tensors: Tensors, dtype: str = "BF16") -> None:
    """Write a safetensors file of BF16, F32 or F16; integers stay integers, as I64."""
    layout = lay_out([(name, dtype if values.dtype.kind == "f" else "I64", values.shape) for name, values in tensors.items()])
    encoded = {
        "BF16": to_bfloat16, "F32": lambda x: x.astype("<f4"), "F16": lambda x: x.astype("<f2"), "I64": lambda x: x.astype("<i8")
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(layout.header + b"".join(encoded[code](tensors[name]).tobytes() for name, code, _ in layout.tensors))


def write_model(
    directory: Path, tensors: Tensors, *, dtype: str = "BF16", shards: int = 1, config: Mapping[str, object] | None = None
) -> None:
    """Write a model's directory, its weights in one file or several with an index."""
    directory.mkdir(parents=True, exist_ok=True)
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("model.layers."))
    (directory / "config.json").write_text(json.dumps(config or llama_config(layers), indent=2))
    (directory / "generation_config.json").write_text('{"do_sample": false}')
    if shards == 1:
        write_file(directory / "model.safetensors", tensors, dtype)
        return
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: values for at, (name, values) in enumerate(tensors.items()) if at % shards == i}
        write_file(directory / file, part, dtype)
        weight_map |= dict.fromkeys(part, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def read_model(directory: Path) -> dict[str, np.ndarray]:
    """Read a model's tensors back: float32 values by name, or integers, whatever files they are in."""
    found = {}
    for file in sorted(directory.glob("*.safetensors")):
        data = file.read_bytes()
        for info in read_header(file):
            raw = data[info.offset : info.offset + info.nbytes]
            kind = {"BF16": "<u2", "F32": "<f4", "F16": "<f2", "I64": "<i8"}[info.dtype]
            values = np.frombuffer(raw, kind).reshape(info.shape)
            values = from_bfloat16(values) if info.dtype == "BF16" else values
            found[info.name] = values.astype(np.float32) if values.dtype.kind == "f" else values
    return found

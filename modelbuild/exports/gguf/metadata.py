"""config.json in GGUF's words: what llama.cpp has to know of a model to compute with its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import MODEL_ARCH, RopeScalingType
from msgspec import Struct

from modelbuild.exports.subject import Unexportable

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from numpy.typing import NDArray

Config = Mapping[str, Any]


class Family(Struct, frozen=True):
    """What llama.cpp calls models of a kind.

    Args:
        arch: its architecture.
        rotates_pairs: whether it turns neighbours by one angle, where transformers turns the halves of a head.

    """

    arch: MODEL_ARCH
    rotates_pairs: bool = False


FAMILIES = {
    "llama": Family(MODEL_ARCH.LLAMA, rotates_pairs=True),
    "mistral": Family(MODEL_ARCH.LLAMA, rotates_pairs=True),
    "mixtral": Family(MODEL_ARCH.LLAMA, rotates_pairs=True),
    "qwen2": Family(MODEL_ARCH.QWEN2),
    "qwen2_moe": Family(MODEL_ARCH.QWEN2MOE),
    "qwen3": Family(MODEL_ARCH.QWEN3),
    "qwen3_moe": Family(MODEL_ARCH.QWEN3MOE),
}
"""By `model_type`."""

_CONVERTER = 'name one that can: `converter = ["python", "convert.py", "{model}", "{out}"]`'


def family_of(config: Config) -> Family:
    """Return the family of a model."""
    kind = str(config.get("model_type", ""))
    if kind not in FAMILIES:
        what = f"a model of type `{kind}` is not written as GGUF" if kind else "a model without config.json is not written as GGUF"
        raise Unexportable(what, f"types that are: {', '.join(FAMILIES)}", hint=_CONVERTER)
    if config.get("hidden_act", "silu") not in ("silu", "swish"):
        raise Unexportable(f"llama.cpp computes `{kind}` with silu", f"hidden_act is {config['hidden_act']}", hint=_CONVERTER)
    return FAMILIES[kind]


def number(config: Config, key: str, default: int | None = None) -> int:
    """Return a count of config.json."""
    value = config.get(key)
    value = default if value is None else value
    if type(value) is not int or value < 1:
        facts = () if value is None else (f"found {value}",)
        raise Unexportable(f"config.json has no `{key}`", *facts, hint="copy or download the model again", key="of")
    return value


def head_width(config: Config) -> int:
    """Return how many elements a head has."""
    return number(config, "head_dim", number(config, "hidden_size") // number(config, "num_attention_heads"))


def describe(writer: GGUFWriter, config: Config, rows: int) -> tuple[str, ...]:
    """Tell a writer what a model is like; return what the file cannot say.

    Args:
        writer: of the file.
        config: config.json.
        rows: of the embedding.

    """
    heads, width = number(config, "num_attention_heads"), head_width(config)
    writer.add_type("model")
    writer.add_vocab_size(rows)
    writer.add_context_length(number(config, "max_position_embeddings"))
    writer.add_embedding_length(number(config, "hidden_size"))
    writer.add_block_count(number(config, "num_hidden_layers"))
    writer.add_feed_forward_length(number(config, "intermediate_size"))
    writer.add_head_count(heads)
    writer.add_head_count_kv(number(config, "num_key_value_heads", heads))
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    _describe_experts(writer, config)
    _describe_rope(writer, config, width)
    return _unsaid(config)


def _describe_experts(writer: GGUFWriter, config: Config) -> None:
    experts = config.get("num_local_experts") or config.get("num_experts")
    if config["model_type"] not in ("mixtral", "qwen2_moe", "qwen3_moe"):
        return
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise Unexportable("llama.cpp knows no such model in which only some layers have experts", hint=_CONVERTER)
    if config["model_type"] != "mixtral" and config.get("norm_topk_prob", False) != (config["model_type"] == "qwen3_moe"):
        fact = f"norm_topk_prob is {config.get('norm_topk_prob', False)}"
        raise Unexportable(f"llama.cpp weighs the experts of `{config['model_type']}` in the other way", fact, hint=_CONVERTER)
    writer.add_expert_count(number({"num_experts": experts}, "num_experts"))
    writer.add_expert_used_count(number(config, "num_experts_per_tok"))
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(number(config, "moe_intermediate_size"))
    if "shared_expert_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(number(config, "shared_expert_intermediate_size"))


def _rope(config: Config) -> dict[str, Any]:
    """Return the parameters of rotation, which stand in one of two places."""
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    table = {"rope_theta": config.get("rope_theta"), "partial_rotary_factor": config.get("partial_rotary_factor"), **told}
    return {"rope_type": told.get("rope_type") or told.get("type") or "default", **{k: v for k, v in table.items() if v is not None}}


def _describe_rope(writer: GGUFWriter, config: Config, width: int) -> None:
    rope = _rope(config)
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise Unexportable("llama.cpp turns all of a head", f"partial_rotary_factor is {rope['partial_rotary_factor']}", hint=_CONVERTER)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    match rope["rope_type"]:
        case "default" | "llama3":  # the latter are factors of the frequencies, a tensor
            return
        case "linear":
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        case "yarn" if not any(rope.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim")) and rope.get("truncate", True):
            writer.add_rope_scaling_type(RopeScalingType.YARN)
            original = rope.get("original_max_position_embeddings", config.get("max_position_embeddings"))
            writer.add_rope_scaling_orig_ctx_len(number({"original_max_position_embeddings": original}, "original_max_position_embeddings"))
            writer.add_rope_scaling_yarn_beta_fast(float(rope.get("beta_fast") or 32.0))
            writer.add_rope_scaling_yarn_beta_slow(float(rope.get("beta_slow") or 1.0))
        case other:
            facts = ", ".join(f"{key} {value}" for key, value in rope.items())
            raise Unexportable(f"GGUF has no words for this scaling of positions: `{other}`", facts, hint=_CONVERTER)
    writer.add_rope_scaling_factor(float(rope["factor"]))


def frequency_factors(config: Config) -> NDArray[np.float32] | None:
    """Return what each frequency is divided by, in float32, or None where that is nothing.

    Llama 3.1's: long waves are stretched by `factor`, short ones are left, those between are something between.
    """
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    width = head_width(config)
    waves = 2 * pi * float(rope.get("rope_theta", 10000.0)) ** (np.arange(0, width, 2, dtype=np.float64) / width)
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    original = float(rope["original_max_position_embeddings"])
    share = np.clip((original / waves - low) / (high - low), 0.0, 1.0)
    return (1 / ((1 - share) / factor + share)).astype(np.float32)


def _unsaid(config: Config) -> tuple[str, ...]:
    """Return in words what llama.cpp will not be told."""
    window, length = config.get("sliding_window"), number(config, "max_position_embeddings")
    slides = config.get("use_sliding_window", config["model_type"] in ("mistral", "mixtral"))
    if slides and isinstance(window, int) and window < length:
        return (f"its window of {window} tokens has no words in GGUF: llama.cpp sees all of a longer text",)
    return ()

"""LoRA adapters as PEFT writes them: which tensor each pair of factors changes, and by how much.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685: W + (alpha / r) B A.
Kalajdzievski, A Rank Stabilization Scaling Factor (rsLoRA), arXiv:2312.03732: alpha / sqrt(r) instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from modelbuild.names import plain

CONFIG = "adapter_config.json"

_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.default)?(?:\.(?P<kind>weight|bias))?")
_SAVED = re.compile(r"(?P<module>.+?)(?:\.modules_to_save(?:\.default)?)?\.(?P<kind>weight|bias)")

_BASE = ".base_layer"
"""What PEFT calls the embedding that it saves beside the factors of one."""

_REFUSED = {
    "use_dora": "DoRA rescales the columns of the whole weight",
    "layer_replication": "it repeats layers: write slices",
    "trainable_token_indices": "it holds rows of single tokens",
    "target_parameters": "it changes parameters that no file holds by that name",
    "use_qalora": "QA-LoRA pools its inputs",
    "alora_invocation_tokens": "an activated adapter works on some tokens only",
    "megatron_config": "it is split over machines",
}
"""What is no sum of a weight and a product of two factors."""

_RISKY = re.compile(r"\)[*+?{]|\(\?|\\[1-9]")
_REPEATS = re.compile(r"(?<!\\)[*+{]")
_MOST_COMPARED = 1_000_000
_LONGEST_MODULE = 200

_OTHER_BASES = ("pissa", "olora", "corda", "loftq")
"""Initialisations that change the base, so that the adapter fits that one alone."""


class Factors(Struct, frozen=True):
    """A pair of factors, by tensor name: `b` (out, r) times `a` (r, in), added to a weight `scale` times.

    Args:
        module: what is changed, as PEFT calls it.
        a: the name of the first factor, or of a bias.
        b: the name of the second, or "" where a bias is added.
        scale: alpha / r, or alpha / sqrt(r).
        embedding: whether the weight is (in, out), as that of an embedding.

    """

    module: str
    a: str
    b: str
    scale: float
    embedding: bool


class Saved(Struct, frozen=True):
    """A tensor that replaces one of the model: its name there, and whether it is what the adapter was trained beside, no part of it."""

    name: str
    base: bool


class Adapter(Struct, frozen=True, dict=True):
    """What an adapter does to a model.

    Args:
        factors: what is added.
        saved: what is replaced, by tensor name.
        transposed: whether linear weights are (in, out) too, as GPT-2's are.
        problems: what of it cannot be expressed.

    """

    factors: tuple[Factors, ...]
    saved: Mapping[str, Saved]
    transposed: bool
    problems: tuple[str, ...]


def read_adapter(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Adapter:
    """Read an adapter from its adapter_config.json and the shapes of its tensors, by name."""
    try:
        return _read(config, shapes)
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError, re.error) as error:
        return Adapter((), {}, transposed=False, problems=(f"{CONFIG} is not as PEFT writes it: {plain(str(error), 200)}",))


def _read(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Adapter:
    _check_patterns(config.get("alpha_pattern") or {}, shapes)
    problems = list(_refusals(config, shapes))
    pairs: dict[tuple[str, str, bool], dict[str, str]] = {}
    saved: dict[str, Saved] = {}
    for name in shapes:
        module = name.removeprefix(_PREFIX)
        if found := _FACTOR.fullmatch(module):
            kind = found["kind"] or "weight"
            pairs.setdefault((found["module"], kind, bool(found["embedding"])), {})[found["side"]] = name
        elif found := _SAVED.fullmatch(module):
            module = found["module"].removesuffix(_BASE)
            saved[name] = Saved(f"{module}.{found['kind']}", module != found["module"])
        else:
            problems.append(f"`{name}` is nothing that LoRA has")
    factors = []
    for (module, kind, embedding), sides in pairs.items():
        if kind == "bias":
            rank = shapes[pairs[module, "weight", embedding]["A"]][0] if (module, "weight", embedding) in pairs else 0
            factors.append(Factors(f"{module}.bias", sides["B"], "", _scale(config, module, rank), embedding=False))
        elif sides.keys() != {"A", "B"}:
            problems.append(f"`{module}` has one factor of two")
        elif len(shapes[sides["A"]]) != 2 or len(shapes[sides["B"]]) != 2:
            problems.append(f"`{module}` has factors of {len(shapes[sides['A']])} dimensions: it is a convolution")
        else:
            scale = _scale(config, module, shapes[sides["A"]][0])
            factors.append(Factors(f"{module}.weight", sides["A"], sides["B"], scale, embedding))
    return Adapter(tuple(factors), saved, bool(config.get("fan_in_fan_out")), tuple(problems))


def _refusals(config: Mapping[str, Any], names: Iterable[str]) -> Iterable[str]:
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        yield f"it is of the kind {plain(str(kind))}, and LORA alone is a sum"
    for key, why in _REFUSED.items():
        if config.get(key):
            yield f"{key}: {why}"
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_OTHER_BASES):
        yield f"init_lora_weights = {plain(start)}: it was trained on a base that was changed; convert it to a plain LoRA with PEFT"
    if any("lora_magnitude_vector" in name for name in names) and not config.get("use_dora"):
        yield f"lora_magnitude_vector: {_REFUSED['use_dora']}"


def _check_patterns(patterns: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse patterns that can be made to take for ever: what repeats what repeats, and more of them than anybody writes."""
    for pattern in patterns:
        if _RISKY.search(pattern) or len(_REPEATS.findall(pattern)) > 1:
            raise ValueError(f"alpha_pattern has `{plain(pattern)}`, which repeats more than one part")
    if len(patterns) * len(names) > _MOST_COMPARED:
        raise ValueError(f"alpha_pattern has {len(patterns)} patterns for {len(names)} tensors")


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    alpha = _by_pattern(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", 8))
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank) if rank else 0.0


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """Return the value of the first pattern that a module's name ends with, as PEFT does."""
    if patterns and len(module) > _LONGEST_MODULE:
        raise ValueError(f"a module's name has {len(module)} characters")
    return next((value for pattern, value in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", module)), default)

"""Mixtures of experts, as mergekit-moe takes them."""

from __future__ import annotations

from typing import Any

from modelbuild.errors import did_you_mean
from modelbuild.mergekit.ledger import At, Ledger, Placed
from modelbuild.mergekit.models import Models
from modelbuild.modelfile.checks import MIXTURE

KEYS = ("base_model", "experts", "shared_experts", "gate_mode", "experts_per_token", "architecture", "dtype")
"""What mergekit-moe reads."""

_GATES = {"hidden": "hidden", "cheap_embed": "cheap_embed", "random": "random", "uniform_random": "random"}
_PROMPTS = ("positive_prompts", "negative_prompts")
_SCALES = ("noise_scale", "residual_scale")


def is_mixture(document: At) -> bool:
    """Tell whether a document is one: without a method, or with `moe` for one."""
    return bool(document["merge_method"].value == MIXTURE or (not document["merge_method"] and document["experts"]))


def mixture(ledger: Ledger, models: Models, document: At) -> dict[str, Any]:
    """Return the merge that a document of mergekit-moe is."""
    merge: dict[str, Any] = {"method": MIXTURE}
    if document["base_model"]:
        merge["base"] = models.name(document["base_model"])
    for key in ("experts", "shared_experts"):
        if document[key]:
            merge[key] = Placed([_expert(ledger, models, one) for one in ledger.listed(document[key])], document[key])
    gate = document["gate_mode"]
    if gate.value == "uniform_random":
        ledger.note(gate, "`gate_mode: uniform_random` is taken as `random`, which draws from another distribution")
    if gate and gate.value not in _GATES:
        hint = did_you_mean(str(gate.value), _GATES) or "leave it out: it is `hidden` then"
        ledger.say(gate, f"`{gate.value}` is no way to find gates", (f"known here: {', '.join(_GATES)}",), hint)
    merge["gate"] = Placed(_GATES.get(gate.value, "hidden"), gate)
    if document["experts_per_token"]:
        merge["experts_per_token"] = Placed(document["experts_per_token"].value, document["experts_per_token"])
    if document["architecture"]:
        ledger.note(document["architecture"], "`architecture` is left out: it follows from the base")
    for key in ("models", "slices", "modules", "parameters", "tokenizer", "tokenizer_source"):
        if document[key]:
            ledger.say(document[key], f"`{key}` is not of a mixture of experts", hint="it has `base_model` and `experts`")
    return merge


def _expert(ledger: Ledger, models: Models, at: At) -> Placed:
    told = ledger.table(at, ("source_model", *_PROMPTS, *_SCALES))
    for key in _SCALES:
        if told[key]:
            ledger.say(told[key], f"`{key}` of an expert is not carried over", hint="remove it: an expert's layers are taken as they are")
    prompts = {key: [Placed(str(one.value), one) for one in ledger.listed(told[key])] for key in _PROMPTS if told[key]}
    return Placed({"model": models.name(told["source_model"]), **prompts}, at)

"""The same merges done on transformers' modules in float32: the judge of what modelbuild writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from tests.support.zoo import Kind

TOKENS = torch.tensor([[1, 5, 9, 13, 17, 21, 25, 29]])


def load(kind: Kind, directory: Path) -> nn.Module:
    """Load a model in float32, and see that no key was missing, left over or of another shape."""
    auto = getattr(transformers, "AutoModel" if kind.auto == "Model" else f"AutoModelFor{kind.auto}")
    model, info = auto.from_pretrained(directory, output_loading_info=True, dtype=torch.float32, attn_implementation="eager")
    assert not any(info.values()), info
    return model.eval()


def answer(kind: Kind, model: nn.Module) -> torch.Tensor:
    """Return logits, or what a model without a head says."""
    given: dict[str, Any] = {"input_ids": TOKENS}
    pixels = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    if kind.auto == "ImageClassification":
        given = {"pixel_values": pixels}
    elif kind.auto == "Model":
        given |= {"pixel_values": pixels}
    elif kind.auto == "Seq2SeqLM":
        given |= {"decoder_input_ids": TOKENS[:, :5], "use_cache": False}
    elif kind.auto == "SpeechSeq2Seq":
        given = {"input_features": torch.linspace(-1, 1, 8 * 32).reshape(1, 8, 32), "decoder_input_ids": TOKENS[:, :5]}
    with torch.no_grad():
        said = model(**given)
    return said.logits_per_image if kind.auto == "Model" else said.logits


def combined(models: list[nn.Module], merge: Any) -> nn.Module:
    """Merge parameter by parameter into the first model."""
    parameters = [dict(model.named_parameters()) for model in models]
    with torch.no_grad():
        for name, own in parameters[0].items():
            own.copy_(merge([each[name] for each in parameters]))
    return models[0]


def elected(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Merge as TIES does without trimming: the mean of the differences that have the sign of their sum."""
    base, *others = tensors
    deltas = torch.stack([other - base for other in others])
    agreeing = (deltas * torch.where(deltas.sum(0) >= 0, 1.0, -1.0) > 0).float()
    return base + (deltas * agreeing).sum(0) / agreeing.sum(0).clamp(min=1)


def layers_of(kind: Kind, model: nn.Module) -> tuple[nn.Module, str]:
    """Return the module that holds the stack of slices, and what it calls it."""
    *_, last = kind.stack.split(".")
    side = next((word for word in ("decoder", "text_model", "language_model") if word in kind.stack), "")
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and name.split(".")[-1] in (last, "layers") and side in name and "vis" not in name:
            above, _, own = name.rpartition(".")
            return model.get_submodule(above), own
    raise AssertionError(f"no stack called {kind.stack}")


def stacked(kind: Kind, first: nn.Module, second: nn.Module, config: Any) -> nn.Module:
    """Put all layers of the first and all but one of the second on top of each other, in the first."""
    holder, own = layers_of(kind, first)
    other, _ = layers_of(kind, second)
    layers = [*getattr(holder, own), *getattr(other, own)[1:]]
    for i, layer in enumerate(layers):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = i
    setattr(holder, own, nn.ModuleList(layers))
    for part, wanted in ((first.config, config), (first.config.get_text_config(decoder=True), config.get_text_config(decoder=True))):
        for key in ("num_hidden_layers", "n_layer", "layer_types", "mlp_layer_types", "decoder_layers", "num_decoder_layers"):
            if key in part.to_dict() and key in wanted.to_dict():
                setattr(part, key, getattr(wanted, key))
    return first

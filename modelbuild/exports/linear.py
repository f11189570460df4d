"""Which weights of a model are those of linear layers: asked of the architecture, which is built without memory for its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelbuild.checkpoint.dtypes import ARITHMETIC
from modelbuild.exports.subject import Subject, Unexportable
from modelbuild.names import natural
from modelbuild.quiet import quiet

WEIGHT = ".weight"
_HEADS = ("lm_head", "embed_out", "output")
_EMBEDDINGS = ("embed", "wte", "wpe")


def linear_weights(subject: Subject) -> tuple[str, ...]:
    """Return the weights of linear layers, the head excepted.

    Experts count too: transformers holds those of a layer in one tensor, files and other programs hold each by itself.

    Raises:
        Unexportable: if there is none, transformers knows no such model, or it is quantised already.

    """
    if "quantization_config" in subject.config:
        raise Unexportable("the model is quantised already", hint="export a merge of models that are not", key="of")
    modules = _modules(subject.config)
    chosen = [
        name
        for name in _matrices(subject)
        if module_of(name).rpartition(".")[2] not in _HEADS and (module_of(name) in modules or ".experts." in name)
    ]
    if not chosen:
        raise Unexportable("the model has no linear weight to be rounded", hint="export a whole language model", key="of")
    return tuple(sorted(chosen, key=natural))


def other_modules(subject: Subject, linear: frozenset[str]) -> tuple[str, ...]:
    """Return the layers that other programs may take for linear ones, and that stay as they are: head, gates, routers."""
    others = {module_of(name) for name in _matrices(subject) if name not in linear and not any(word in name for word in _EMBEDDINGS)}
    others |= {"lm_head"} if subject.config.get("tie_word_embeddings") else set()
    return tuple(sorted(others, key=natural))


def module_of(weight: str) -> str:
    """Return the layer that a weight is of."""
    return weight.removesuffix(WEIGHT)


def _matrices(subject: Subject) -> list[str]:
    stored = subject.tensors.items()
    return [name for name, (dtype, shape) in stored if len(shape) == 2 and dtype in ARITHMETIC and name.endswith(WEIGHT)]


@quiet()
def _modules(config: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of a model's linear layers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        kind = config.get("model_type", "nothing that config.json names")
        hint = 'name a converter that knows it: `format = "command"`'
        raise Unexportable(f"transformers knows no language model of type `{kind}`", str(error)[:200], hint=hint, key="of") from None
    return frozenset(name for name, module in model.named_modules() if type(module) is torch.nn.Linear)

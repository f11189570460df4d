"""What a bound graph means, without names of sources and without how it is written."""

from __future__ import annotations

from typing import Any

from modelbuild.checkpoint.anatomy import Part
from modelbuild.graph import BoundSlice, Chain, Graph
from modelbuild.modelfile.model import Modelfile
from modelbuild.plan.resolve import Spot, Unset, rule_at, value_of

DEPTH = 4
INNER = (
    "self_attn.q_proj",
    "self_attn.o_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "mlp.gate_up_proj",
    "input_layernorm",
    "self_attn_layer_norm",
)
OUTER = (("model.embed_tokens", Part.EMBEDDING), ("model.norm", Part.HEAD), ("lm_head", Part.HEAD))


def meaning(graph: Graph) -> list[Any]:
    """Return what each node makes of what, the nodes in building order."""
    modelfile = graph.modelfile

    def model(name: str) -> Any:
        source = modelfile.sources.get(name)
        if source is None:
            return name
        return (source.location.removeprefix("./"), *(one.location.removeprefix("./") for one in adapters_of(modelfile, name)))

    found = []
    for name, node in graph.nodes.items():
        merge, settings = node.merge, node.merge.tokenizer
        first, parts = 0, []
        for part in node.slices:
            span = part.inputs[0].layers if part.inputs else None
            last = first + (span[1] - span[0] if span else DEPTH)
            inputs = [(model(one.model), one.layers, values(one.chains, first, last)) for one in part.inputs]
            parts.append((part.method.name, model(base_of(part)), inputs, values(part.chains, first, last)))
            first = last
        donor = merge.base or (node.slices[0].inputs[0].model if node.slices else "")
        source = donor if settings.source == "base" else settings.source
        rows = [(token, model(one.source), one.token, one.row, one.force) for token, one in settings.tokens.items()]
        tokens = (model(source), rows, settings.multiple, settings.chat_template, merge.common, merge.scope)
        mixed = [(model(one.model), one.positive, one.negative) for one in (*merge.mixture.experts, *merge.mixture.shared)]
        found.append((name, parts, merge.dtype, tokens, (mixed, merge.mixture.gate, merge.mixture.per_token)))
    return found


def adapters_of(modelfile: Modelfile, name: str) -> list[Any]:
    return [modelfile.adapters[one] for one in modelfile.sources[name].adapters]


def base_of(part: BoundSlice) -> str:
    return part.base


def values(chains: Any, first: int, last: int) -> Any:
    """Return the values of parameters for every tensor of a small model."""
    spots = [Spot(f"{word}.weight", part, -1, (first, last)) for word, part in OUTER]
    spots += [
        Spot(f"model.layers.{layer}.{word}.weight", Part.LAYERS, layer, (first, last)) for layer in range(first, last) for word in INNER
    ]
    return {name: [value(chain, spot) for spot in spots] for name, chain in chains.items()}


def value(chain: Chain, spot: Spot) -> Any:
    try:
        return value_of(rule_at(chain, spot), spot)
    except Unset:
        return None

"""The step that finds the gates of a mixture: what the base makes of each expert's prompts, at the very place the gate will read.

A gate scores a token by the product of its row and the input of the layer's experts.  Of each expert that input is averaged over
its prompts, less the average over its negative ones.  What all experts share says nothing and is taken away, and so is the
part of each that the average text has more or less of, for a gate has no bias to make up for it; the rest is brought to
length 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelbuild.checkpoint.config import without_code
from modelbuild.engine.budget import available
from modelbuild.engine.serial import serial
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import human_bytes, plain
from modelbuild.plan.mixture import Prompted
from modelbuild.quiet import quiet

if TYPE_CHECKING:
    from modelbuild.engine.steps import Held

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_UNIFORMS = 12
"""Numbers between 0 and 1 whose sum, less half as many, is nearly normal."""


def find_gates(prompted: Prompted, inputs: Sequence[Held], chunk: int) -> Iterator[Floats]:
    """Yield the gates of all layers, (layers, experts, hidden size)."""
    del chunk
    if prompted.gate == "random":
        yield _random(prompted)
        return
    split = _splitter(prompted)
    means = _embedded(prompted, inputs[0], split) if prompted.gate == "cheap_embed" else _hidden(prompted, inputs, split)
    yield _directions(means)


def _random(prompted: Prompted) -> Floats:
    """Draw rows by Philox, exactly: a sum of uniform numbers needs no function whose last bit is the machine's."""
    bits = np.random.Philox(key=prompted.seed).random_raw(math.prod(prompted.shape) * _UNIFORMS)
    uniform = (bits >> np.uint64(40)).astype(np.float64) / (1 << 24)
    normal = uniform.reshape(*prompted.shape, _UNIFORMS).sum(-1) - _UNIFORMS / 2
    return _of_length_one(normal)


def _splitter(prompted: Prompted) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(prompted.tokenizer())
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        problem = Problem(
            f"the tokenizer of `{prompted.base}` is not read", facts=(plain(str(error), 200),), hint="copy or download it again"
        )
        raise ModelbuildError(problem, Exit.SOURCE) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: tokenizer.encode(text).ids


def _embedded(prompted: Prompted, embedding: Held, split: Any) -> Doubles:
    """Average the embeddings of prompts: the same for all layers."""
    layers, experts, width = prompted.shape
    found = np.zeros((experts, width))
    for number, texts in enumerate(prompted.prompts):
        for sign, some in zip((1, -1), texts, strict=True):
            for text in some:
                ids = split(text)
                total = sum((embedding.rows(i, 1)[0].astype(np.float64) for i in ids), np.zeros(width))
                found[number] += sign * total / (len(ids) * len(some))
    return np.repeat(found[None], layers, 0)


def _hidden(prompted: Prompted, inputs: Sequence[Held], split: Any) -> Doubles:
    """Average what reaches the experts of each layer when the base reads the prompts."""
    _refuse_too_large(prompted, inputs)
    with serial():
        return _seen(prompted, inputs, split)


def _seen(prompted: Prompted, inputs: Sequence[Held], split: Any) -> Doubles:
    import torch

    model, layers = _base(prompted, inputs)
    found = np.zeros(prompted.shape)
    seen: dict[int, Doubles] = {}

    def see(layer: int) -> Any:
        def hook(_: Any, given: tuple[Any, ...]) -> None:
            seen[layer] = given[0][0].double().mean(0).numpy()

        return hook

    hooks = [layer.mlp.register_forward_pre_hook(see(i)) for i, layer in enumerate(layers)]
    with torch.inference_mode():
        for number, texts in enumerate(prompted.prompts):
            for sign, some in zip((1, -1), texts, strict=True):
                for text in some:
                    model(input_ids=torch.tensor([split(text)]), use_cache=False)
                    for layer, mean in seen.items():
                        found[layer, number] += sign * mean / len(some)
    for hook in hooks:
        hook.remove()
    return found


def _refuse_too_large(prompted: Prompted, inputs: Sequence[Held]) -> None:
    needed, free = 2 * 4 * sum(math.prod(held.shape) for held in inputs), available()
    if needed > free:
        facts = (f"{human_bytes(needed)} needed to run `{prompted.base}` in float32, {human_bytes(free)} free",)
        problem = Problem("there is too little memory to find gates", facts=facts, hint='write `gate = "cheap_embed"`')
        raise ModelbuildError(problem, Exit.LOCAL_IO)


@quiet()
def _base(prompted: Prompted, inputs: Sequence[Held]) -> tuple[Any, Any]:
    """Load the base into memory, in float32: the model, and its layers."""
    import torch
    import transformers

    table = dict(without_code(prompted.config))
    for key in ("attn_implementation", "_attn_implementation"):
        if table.get(key) not in ("eager", "sdpa"):  # any other may be kernels that are fetched from a hub, and run
            table.pop(key, None)
    config = transformers.AutoConfig.for_model(table.pop("model_type"), **table)
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_config(config, dtype=torch.float32)
    state = {
        name: torch.from_numpy(held.rows(0, held.shape[0]).reshape(held.shape)) for name, held in zip(prompted.names, inputs, strict=True)
    }
    try:
        facts = tuple(
            f"{type(model).__name__} has no `{name}`"
            for name in model.load_state_dict(state, strict=False, assign=True).unexpected_keys[:1]
        )
    except RuntimeError as error:  # of shapes
        facts = (plain(" ".join(str(error).split()), 200),)
    if facts:
        hint = 'write `gate = "cheap_embed"`'
        raise ModelbuildError(Problem(f"`{prompted.base}` cannot be run to find gates", facts=facts, hint=hint), Exit.ACTION_FAILED)
    model.tie_weights()
    return model.eval(), model.model.layers


def _directions(means: Doubles) -> Floats:
    """Take away what all experts share, and the direction of the mean of all: the average text then favours no expert."""
    if means.shape[1] == 1:
        return _of_length_one(means)
    shared = means.mean(1, keepdims=True)
    apart = means - shared
    length = (shared * shared).sum(-1, keepdims=True)
    along = (apart * shared).sum(-1, keepdims=True)
    return _of_length_one(apart - np.divide(along, length, out=np.zeros_like(along), where=length > 0) * shared)


def _of_length_one(rows: Doubles) -> Floats:
    lengths = np.array([[math.sqrt(math.fsum((row * row).tolist())) or 1.0 for row in layer] for layer in rows])
    unit: Floats = (rows / lengths[..., None]).astype(np.float32)
    return unit

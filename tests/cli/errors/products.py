"""Mixtures of experts, adapters and exports that cannot be made."""

from __future__ import annotations

import numpy as np

from tests.cli.errors.scene import Case, both, config, edit, lora, more, tensors
from tests.support.checkpoints import HIDDEN, INTER

MIXED = '[merge.mixed]\nmethod = "moe"\nbase = "base"\nexperts = ["code", "math"]\ngate = "random"\n'
PROMPTED = MIXED.replace('"code", "math"', '{ model = "code", positive_prompts = ["x"] }').replace('"random"', '"cheap_embed"')
EXTRACTED = '[merge.lora]\nmethod = "extract_lora"\nbase = "base"\ninputs = ["code"]\n'
COMBINED = '[source.one]\nfrom = "one"\n[source.two]\nfrom = "two"\n[merge.lora]\nmethod = "merge_loras"\ninputs = ["one", "two"]\n'

CASES: dict[str, Case] = {
    "a mixture with tokens of its own": (more(f'{MIXED}tokenizer = {{ source = "union" }}\n'), "status mixed"),
    "more experts for a token than there are": (more(f"{MIXED}experts_per_token = 3\n"), "status mixed"),
    "experts without prompts": (more(MIXED.replace('"random"', '"cheap_embed"')), "status mixed"),
    "prompts without a tokenizer": (more(PROMPTED), "status mixed"),
    "a kind that mixtures are not made of": (both(more(MIXED), config("base", model_type="gemma2")), "status mixed"),
    "a config.json without a width": (both(more(MIXED), config("base", model_type="qwen3", intermediate_size=None)), "status mixed"),
    "layers without experts": (
        both(more(MIXED), tensors("base", lambda held: {name: values for name, values in held.items() if ".mlp." not in name})),
        "status mixed",
    ),
    "biases in a mixture": (
        both(more(MIXED), tensors("base", lambda held: {**held, "model.layers.0.self_attn.q_proj.bias": np.zeros(HIDDEN, np.float32)})),
        "status mixed",
    ),
    "a shared expert too many": (more(f'{MIXED}shared_experts = ["math"]\n'), "status mixed"),
    "a shared expert too few": (both(more(MIXED), config("base", model_type="qwen2")), "status mixed"),
    "two models to extract one adapter of": (more(EXTRACTED.replace('"code"', '"code", "math"')), "status lora"),
    "nothing to extract": (
        both(more(EXTRACTED), tensors("base", lambda held: {name: values for name, values in held.items() if "_proj" not in name})),
        "status lora",
    ),
    "adapters of two bases": (
        both(
            more(COMBINED),
            lora("one", "model.layers.0.mlp.up_proj", INTER, HIDDEN),
            lora("two", "model.layers.0.mlp.up_proj", HIDDEN, HIDDEN),
        ),
        "status lora",
    ),
    "a model for an adapter": (edit(('from = "code"', 'from = "code"\nadapters = [{ from = "math" }]')), "status"),
    "an adapter of another base": (
        both(
            edit(('from = "code"', 'from = "code"\nadapters = [{ from = "one" }]')),
            lora("one", "model.layers.0.mlp.up_proj", HIDDEN, HIDDEN),
        ),
        "status",
    ),
    "an adapter as GGUF": (more(f'{EXTRACTED}[export.small]\nof = "lora"\nformat = "gguf"\n'), "build small"),
    "an export that links out": (
        more('[export.copy]\nof = "release"\nformat = "command"\nconverter = ["ln", "-s", "{model}/config.json", "{out}"]\n'),
        "build -j 1 --no-check copy",
    ),
    "an export with directories in it": (
        more('[export.copy]\nof = "release"\nformat = "command"\nconverter = ["mkdir", "-p", "{out}/more"]\n'),
        "build -j 1 --no-check copy",
    ),
}

"""config.json, tokenizer files and adapters that lie, where a merge has to read and to edit them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Where
from tests.fuzz.mutation import STRINGS, Json, bytes_changed, changed, text_of
from tests.support.checkpoints import VOCAB, llama_config, random_tensors, write_file, write_model

MODELFILE = """\
[source]
a.from = "a"
b.from = "b"
[source.c]
from = "a"
adapters = [{ from = "lora" }]
[merge.union]
method = "linear"
inputs = ["a", "b", "c"]
tokenizer = { source = "union", chat_template = "a" }
[merge.deep]
method = "passthrough"
slices = [{ model = "union", layers = [0, 2] }, { model = "union", layers = [1, 2] }]
output = { dtype = "float16", shard_size = "20kB" }
[merge.experts]
method = "moe"
base = "b"
experts = ["b", "c"]
gate = "random"
[merge.delta]
method = "extract_lora"
base = "a"
inputs = ["b"]
rank = 2
[source.adapter]
from = "lora"
[merge.loras]
method = "merge_loras"
inputs = ["adapter"]
"""

TARGETS = ("union", "deep", "experts", "delta", "loras")

ADDED = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
FACTOR = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"


def tokenizer(words: tuple[str, ...]) -> Json:
    """Return a tokenizer.json of 40 tokens and the added ones."""
    vocab = {f"t{i}": i for i in range(VOCAB - len(words))}
    added = [{"id": len(vocab) + i, "content": word, **ADDED} for i, word in enumerate(words)]
    return {"version": "1.0", "added_tokens": added, "model": {"type": "BPE", "vocab": vocab, "merges": [["t", "0"]]}}


def sound() -> dict[str, Json]:
    """Return every file that is read, as it should be."""
    kinds = {
        "layer_types": ["full_attention", "sliding_attention"],
        "mlp_only_layers": [1],
        "first_k_dense_replace": 1,
        "vision_config": {"depth": 3},
    }
    adapter = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "alpha_pattern": {"layers.0.*": 3},
        "fan_in_fan_out": False,
    }
    return {
        "a/config.json": {**llama_config(2), **kinds, "bos_token_id": 0, "text_config": {"num_hidden_layers": 2, "vocab_size": VOCAB}},
        "b/config.json": {**llama_config(2), **kinds},
        "a/generation_config.json": {"eos_token_id": [1, 2], "do_sample": True},
        "a/tokenizer.json": tokenizer(("<s>", "</s>")),
        "b/tokenizer.json": tokenizer(("<s>", "<|im_start|>", "<|im_end|>")),
        "a/tokenizer_config.json": {
            "added_tokens_decoder": {"38": {"content": "<s>", **ADDED}},
            "chat_template": "{{ messages }}",
            "eos_token": "</s>",
        },
        "a/added_tokens.json": {"<s>": 38},
        "a/special_tokens_map.json": {"bos_token": {"content": "<s>"}},
        "lora/adapter_config.json": adapter,
    }


def prepare(root: Path) -> None:
    """Write two sound models with tokenizers, an adapter, and merges that unite, slice and cast them."""
    base = random_tensors(0, 2)
    write_model(root / "a", base)
    write_model(root / "b", random_tensors(1, 2, near=base))
    rng = np.random.default_rng(3)
    shapes = {"A": (2, 16), "B": (16, 2)}
    write_file(
        root / "lora" / "adapter_model.safetensors",
        {FACTOR.format(side): rng.normal(0, 1, shape).astype(np.float32) for side, shape in shapes.items()},
    )
    (root / "Modelfile.toml").write_text(MODELFILE)


def case(root: Path, rng: Random) -> Callable[[], object]:
    """Write all files, one or two of them mutated; most are foretold, which makes the edited files, and some built."""
    tables = sound()
    wrong = rng.sample(sorted(tables), rng.choice([1, 1, 2]))
    for name, table in tables.items():
        (root / name).write_bytes(mutated(table, rng) if name in wrong else json.dumps(table).encode())
    where, how, target = Where(root / "Modelfile.toml"), rng.random(), rng.choice(TARGETS)
    if how < 0.02 and target not in ("delta", "loras"):  # which load torch: that takes longer than any case may
        return lambda: use_cases.build(where, (target,), Options(jobs=1, device="cpu"))
    return lambda: use_cases.forecast(where, (target,), Options(jobs=1, device="cpu"))


PATTERNS = (
    r"(a+)+$",
    r"(.*)*x",
    r"(a|a)*b",
    r".*.*.*.*.*.*.*.*x",
    r"(?:x*)*y",
    r"(",
    r"[",
    r"(?P<a>x)(?P=a)",
    r"(.*\.)*(.*\.)*z",
    r"\1",
    r"(?i)Q_PROJ",
    r"a{1,65536}{1,65536}",
)


def mutated(table: Json, rng: Random) -> bytes:
    """Return a file that says something else than it should."""
    if isinstance(table.get("alpha_pattern"), dict) and rng.random() < 0.3:
        table["alpha_pattern"] = {rng.choice([*PATTERNS, *STRINGS]): rng.choice([3, 0, -1, "x", None, 1e308])}
    for _ in range(rng.randint(1, 4)):
        table = changed(table, rng) if isinstance(table, dict | list) else table
    text = text_of(table, rng)
    return bytes_changed(text, rng) if rng.random() < 0.1 else text

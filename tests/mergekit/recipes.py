"""What people merge, scaled down: a base of 32 layers with 32,000 tokens, and specialists that added one or two."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from modelbuild.usecases import Outcome, Where, build, import_mergekit

ROWS = 32_000
ADDED = {"base": (), "math": ("[PAD]",), "chat": ("<|im_end|>", "<|im_start|>"), "code": (), "special": ("<|special_token|>",)}
"""The tokens that each of the family has beside those of all."""


def small(directory: Path, seed: int, *, tokens: Sequence[str] = (), kind: str = "mistral", layers: int = 32, heads: int = 1) -> None:
    """Write a random model with a tokenizer of words, and some tokens added."""
    import torch
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind, hidden_size=16, intermediate_size=24, num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=heads, head_dim=8,
        vocab_size=ROWS + len(tokens), tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(directory)
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, ROWS)}}
    for i, word in enumerate(["math", "calculate", "chat", "conversation", "code", "python", "x", "y"], 3):
        del words[f"w{i}"]
        words[word] = i
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))  # noqa: S106 - no password
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken(token, special=True) for token in tokens])
    made.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}))


def family(root: Path) -> dict[str, Path]:
    """Write four specialists, and return where what kind of model is."""
    for seed, (name, tokens) in enumerate(ADDED.items()):
        small(root / name, seed, tokens=tokens)
    small(root / "other", 9, kind="llama", heads=2)
    return {name: root / name for name in (*ADDED, "other")}


def built(directory: Path, configurations: Sequence[Path], models: dict[str, Path]) -> Outcome:
    """Import configurations, put local models in the places of those of the hub, and build."""
    text, _ = import_mergekit(configurations)
    sources = re.findall(r'^\[source\.(?:"(.*?)"|(.*?))\]\nfrom = "(.*?)"', text, re.MULTILINE)
    mirrors = tuple((quoted or bare, str(models[stand_in(address)])) for quoted, bare, address in sources)
    directory.mkdir(exist_ok=True)
    (directory / "Modelfile.toml").write_text(text)
    return build(Where(directory / "Modelfile.toml", mirrors=mirrors))


def stand_in(address: str) -> str:
    """Return which model of the family stands for an address."""
    words = {"math": "math", "hermes": "chat", "chat": "chat", "special": "special", "other": "chat", "code": "code", "llama-2": "other"}
    return next((name for word, name in words.items() if word in address.lower()), "base")

"""Models that have no place in another form: what GGUF, or a program that reads small numbers, has no words for."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import numpy as np

from tests.cli.errors.scene import Case, Scene, Wrong, both, edit, files
from tests.exports import models
from tests.exports.models import byte_level, write_project
from tests.support.checkpoints import Tensors, write_model

GGUF, FP8, INT4 = (f'[export.small]\nof = "release"\nformat = "{form}"\n' for form in ("gguf", "fp8", "int4"))
ROWS = 40


def exported(export: str = GGUF, tokenizer: object = None, **config: object) -> Wrong:
    """Have an export of a merge of two models, with what config.json says of them."""
    return lambda project: write_project(project, export, tokenizer, **config) and None


def changed(change: Callable[[Tensors], Tensors], export: str = GGUF, **config: object) -> Wrong:
    """Have an export of models whose tensors are others."""

    def wrong(project: Scene) -> None:
        write_project(project, export)
        for name in ("base", "code"):
            values = change(models.tensors(0, models.shapes(ROWS)))
            write_model(project.root / name, values, dtype="F32", config={**models.config(ROWS), **config})

    return wrong


def added(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda held: {**held, name: np.ones(shape, np.float32)}


def without_mlp(held: Tensors) -> Tensors:
    return {name: values for name, values in held.items() if ".mlp." not in name}


def pieces(made: Callable[[], bytes]) -> Wrong:
    """Have a tokenizer of SentencePiece."""

    def wrong(project: Scene) -> None:
        write_project(project, GGUF)
        for name in ("base", "code"):
            (project.root / name / "tokenizer.json").unlink()
            (project.root / name / "tokenizer.model").write_bytes(made())

    return wrong


def unigram() -> bytes:
    """Train a tokenizer whose pieces have logarithms for scores."""
    from sentencepiece import SentencePieceTrainer

    held = io.BytesIO()
    words = ("the cat sat on the mat", "a dog ran to the cat", "that hat is on the mat")
    SentencePieceTrainer.train(
        sentence_iterator=iter(words * 20), model_writer=held, model_type="unigram", vocab_size=30, hard_vocab_limit=False, minloglevel=2
    )
    return held.getvalue()


def without_config(project: Scene) -> None:
    write_project(project, GGUF)
    for name in ("base", "code"):
        (project.root / name / "config.json").unlink()


def tokenizer_model(**changes: object) -> dict[str, object]:
    table = json.loads(json.dumps(byte_level()))
    return {**table, "model": {**table["model"], **changes}}


CUTTER = {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": "Isolated", "invert": False}
EXPERTS = {"model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32}

CASES: dict[str, Case] = {
    "a type that GGUF has no words for": (exported(kind="gpt2"), "build small"),
    "a model without config.json": (without_config, "build small"),
    "another activation": (exported(hidden_act="gelu"), "build small"),
    "a number that config.json lacks": (exported(num_attention_heads=None), "build small"),
    "a part of a head that is turned": (exported(partial_rotary_factor=0.5), "build small"),
    "experts in some layers": (changed(without_mlp, **EXPERTS, mlp_only_layers=[0]), "build small"),
    "experts weighed otherwise": (changed(without_mlp, **EXPERTS, norm_topk_prob=False), "build small"),
    "a tensor that has no place": (changed(added("model.layers.0.extra.weight", 4)), "build small"),
    "experts that are missing": (
        changed(added("model.layers.0.block_sparse_moe.experts.0.w1.weight", 96, 64), model_type="mixtral", num_local_experts=3),
        "build small",
    ),
    "no embedding": (
        changed(lambda held: {name: values for name, values in held.items() if "embed_tokens" not in name}),
        "build small",
    ),
    "a way to cut text that has no name": (
        exported(tokenizer=byte_level({"type": "Sequence", "pretokenizers": [CUTTER, {"type": "ByteLevel", "use_regex": False}]})),
        "build small",
    ),
    "a tokenizer of another kind": (exported(tokenizer=tokenizer_model(type="Unigram")), "build small"),
    "a tokenizer without merges": (exported(tokenizer=tokenizer_model(merges=None)), "build small"),
    "a chat template that is no text": (
        both(exported(), *(files({f"{name}/chat_template.jinja": b"\xff"}) for name in ("base", "code"))),
        "build small",
    ),
    "a number that is none": (exported(rms_norm_eps="small"), "build small"),
    "pieces that are none": (pieces(lambda: b"x"), "build small"),
    "pieces that are not of BPE": (pieces(unigram), "build small"),
    "pieces that cannot be read": (
        both(pieces(lambda: b"x"), lambda project: project.patch.setitem(sys.modules, "sentencepiece", None)),
        "build small",
    ),
    "a model that is quantised": (
        both(
            exported(FP8, quantization_config={"quant_method": "fp8"}),
            edit(('method = "linear"\ninputs = ["base", "code"]', 'method = "passthrough"\ninputs = ["base"]')),
        ),
        "build small",
    ),
    "a model that transformers does not know": (exported(FP8, kind="strange"), "build small"),
    "no linear weight": (
        changed(lambda held: {name: values for name, values in held.items() if "_proj" not in name}, FP8),
        "build small",
    ),
    "a weight that is no number": (
        both(
            changed(lambda held: {**held, "model.layers.0.mlp.up_proj.weight": np.full((96, 64), np.nan, np.float32)}, FP8),
            edit(('method = "linear"', 'method = "linear"\nnonfinite = "allow"')),
        ),
        "build -j 1 --no-check small",
    ),
    "rows that make no groups": (
        changed(lambda held: {name: values[:, :60] if "q_proj" in name else values for name, values in held.items()}, INT4),
        "build small",
    ),
}

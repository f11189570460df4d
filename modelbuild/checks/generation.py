"""What a model writes after a prompt, greedily."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.checks.loading import Loaded, told_of
from modelbuild.checks.measured import Answer, Measured
from modelbuild.names import plain
from modelbuild.quiet import quiet

if TYPE_CHECKING:
    from modelbuild.modelfile.evaluation import Generation

_GRAM = 4
_LONGEST = 100_000
"""Characters of an answer that are kept."""


def generate(loaded: Loaded, how: Generation, dtype: str) -> Measured:
    """Let a model answer prompts, one at a time, always with its likeliest token.

    Raises:
        ModelbuildError: exit 1 if it cannot be loaded, or cannot answer.

    """
    model, tokenizer = loaded.model(dtype), loaded.tokenizer
    with quiet(), told_of(loaded.subject.name):
        return Measured(answers=tuple(_answer(model, tokenizer, prompt.text, how) for prompt in how.prompts))


def _answer(model: Any, tokenizer: Any, prompt: str, how: Generation) -> Answer:
    import torch

    if how.chat:
        told = [{"role": "user", "content": prompt}]
        given = tokenizer.apply_chat_template(told, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    else:
        given = tokenizer(prompt, return_tensors="pt")
    ids = given["input_ids"].to(model.device)
    ends = model.generation_config.eos_token_id
    padding = ends[0] if isinstance(ends, list) else ends
    with torch.inference_mode():
        whole = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=how.max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            repetition_penalty=1.0,
            pad_token_id=padding if model.generation_config.pad_token_id is None else model.generation_config.pad_token_id,
        )
    new = whole[0, ids.shape[1] :].tolist()
    return Answer(tokenizer.decode(new, skip_special_tokens=True)[:_LONGEST], repetition(new))


def repetition(tokens: Sequence[int]) -> float:
    """Return the share of 4-grams that stood before: 0 for an answer that never repeats itself, near 1 for one that circles."""
    grams = [tuple(tokens[i : i + _GRAM]) for i in range(len(tokens) - _GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def faults(answers: Iterable[Answer], how: Generation) -> Iterator[str]:
    """Say what of the answers is not as it should be."""
    import re

    for answer, prompt in zip(answers, how.prompts, strict=True):
        shown = f"{_quoted(prompt.text)} gave {_quoted(answer.text)}"
        for pattern in (*how.require, *prompt.require):
            if not re.search(pattern, answer.text):
                yield f"{shown}, which does not match `{plain(pattern)}`"
        for pattern in (*how.forbid, *prompt.forbid):
            if re.search(pattern, answer.text):
                yield f"{shown}, which matches `{plain(pattern)}`"
        if answer.repetition > how.max_repetition:
            yield f"{shown}, of which {answer.repetition:.0%} is repeated: at most {how.max_repetition:.0%}"


def _quoted(text: str) -> str:
    return f'"{plain(text)}"'

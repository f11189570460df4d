"""How well a model predicts texts: cross-entropy of each next token.

Each document is read in windows of at most `window` tokens.  A window starts `stride` tokens after the one before, and only what no
earlier window predicted counts, so every token but the first of a document counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import TYPE_CHECKING, Any

from modelbuild.checks.loading import Loaded, position_limit, told_of
from modelbuild.checks.measured import Measured, Part, part_of
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.checks.texts import Text
    from modelbuild.modelfile.evaluation import Prediction

FEWEST_DOCUMENTS = 30
"""From so many documents on they are the units that scores are means of; with fewer, windows are."""

_LOGITS = 1 << 27
"""Logits that are held at once."""

Window = tuple[tuple[int, ...], int]
"""Token ids, and the first of them that counts: those before are context."""


def predict(loaded: Loaded, texts: Sequence[Text], how: Prediction, dtype: str) -> Measured:
    """Measure the loss of a model on texts.

    Raises:
        ModelbuildError: exit 1 if it cannot be loaded, or cannot read the texts.

    """
    model = loaded.model(dtype)
    unit = "windows" if any(len(text.documents) < FEWEST_DOCUMENTS for text in texts) else "documents"
    parts: dict[str, Part] = {}
    with quiet(), told_of(loaded.subject.name):
        for text in texts:
            parts[text.name if text.name not in parts else f"{text.name} ({len(parts) + 1})"] = _part(loaded, model, text, how, unit)
    return Measured(parts, unit, how.metric == "perplexity", higher_is_better=False)


def windows_of(ids: Sequence[int], window: int, stride: int) -> Iterator[Window]:
    """Cut a document of tokens into windows of at most `window` + 1 ids, the last of which is only predicted."""
    done = 1  # the first token has nothing to be predicted from
    for start in range(0, len(ids), stride):
        end = min(start + window + 1, len(ids))
        if end > done:
            yield tuple(ids[start:end]), done - start
            done = end


def _part(loaded: Loaded, model: Any, text: Text, how: Prediction, unit: str) -> Part:
    limit = position_limit(model)
    if text.windows:
        _refuse_foreign(loaded, model, text)
        read = _losses(model, [(window, 1) for window in text.windows])
        return part_of([(float(one.sum()), float(one.numel())) for one in read])
    window = min(how.window, limit) if limit else how.window
    stride = min(how.stride, window)
    cut = [list(windows_of(loaded.tokenizer(document).input_ids, window, stride)) for document in text.documents]
    losses = iter(_losses(model, [one for windows in cut for one in windows]))
    units: list[tuple[float, float]] = []
    for document, windows in zip(text.documents, cut, strict=True):
        sums = [(float(one.sum()), float(one.numel())) for one in (next(losses) for _ in windows)]
        sums = [(sum(a for a, _ in sums), sum(b for _, b in sums))] if unit == "documents" and sums else sums
        if how.metric == "bits_per_byte":
            tokens, size = sum(count for _, count in sums), len(document.encode())
            sums = [(total / log(2), size * count / tokens) for total, count in sums]
        units += sums
    if not units:
        raise ValueError(f"`{text.name}` has fewer than two tokens")
    return part_of(units)


def _refuse_foreign(loaded: Loaded, model: Any, text: Text) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    strange = next((token for window in text.windows for token in window if not 0 <= token < rows), None)
    if strange is not None:
        facts = (f"`{text.name}` holds the id {strange}, and the model knows 0 to {rows - 1}",)
        hint = "ids are of one tokenizer: give the check a text, which each model splits by its own"
        raise ModelbuildError(Problem(f"`{loaded.subject.name}` cannot read these tokens", facts=facts, hint=hint), Exit.ACTION_FAILED)


def _losses(model: Any, windows: Sequence[Window]) -> list[Tensor]:
    """Return the losses that count of each window, in nats, float64, each of shape (tokens,)."""
    import torch
    from torch.nn.functional import cross_entropy

    found: dict[int, Tensor] = {}
    by_length: dict[int, list[int]] = {}
    for at, (window, _) in enumerate(windows):
        by_length.setdefault(len(window), []).append(at)
    rows = model.get_input_embeddings().weight.shape[0]
    with torch.inference_mode():
        for length, places in by_length.items():
            size = max(1, min(16, _LOGITS // (rows * length)))
            for batch in (places[i : i + size] for i in range(0, len(places), size)):
                ids = torch.tensor([windows[at][0] for at in batch], device=model.device)  # (n, t + 1)
                logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()  # (n, t, vocabulary)
                losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").double().cpu()  # (n, t)
                for at, one in zip(batch, losses, strict=True):
                    found[at] = one[windows[at][1] - 1 :]
    return [found[at] for at in range(len(windows))]

"""From validated tables to checks."""

from __future__ import annotations

import shlex

from modelbuild.modelfile.bounds import Bound, read_bound
from modelbuild.modelfile.evaluation import Check, Command, Generation, Harness, Prediction, Prompt
from modelbuild.modelfile.schema import CheckTable

Settings = Generation | Prediction | Harness | Command | None


def read_check(name: str, table: CheckTable) -> Check:
    """Return the check that a valid table describes."""
    return Check(
        name,
        table.kind,
        tuple(table.of or ()),
        ("check", name),
        tuple(table.parents or ()),
        _bound(table.min),
        _bound(table.max),
        _bound(table.retention),
        table.dtype,
        _how(table),
    )


def _bound(written: float | str | None) -> Bound | None:
    return None if written is None else read_bound(written)


def _how(table: CheckTable) -> Settings:
    match table.kind:
        case "generate":
            prompts = tuple(Prompt(one.text, tuple(one.require), tuple(one.forbid)) for one in table.prompts or ())
            limit = 1.0 if table.max_repetition is None else float(table.max_repetition)
            return Generation(prompts, tuple(table.require), tuple(table.forbid), limit, table.max_new_tokens, table.chat)
        case "perplexity":
            stride = table.stride or table.window
            return Prediction(tuple(table.text or ()), tuple(table.tensors), table.window, stride, table.metric or "perplexity")
        case "lm_eval":
            shots = -1 if table.shots is None else table.shots
            return Harness(tuple(table.tasks or ()), table.limit or 0, shots, table.metric or "", table.batch_size, table.unsafe)
        case "command":
            words = table.run or []
            split = shlex.split(words[0]) if len(words) == 1 else words
            return Command(tuple(split), tuple(table.files), table.timeout, table.better == "higher")
    return None

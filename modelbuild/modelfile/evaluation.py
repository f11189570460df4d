"""Checks, and searches by them, as the user wrote them: frozen data."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from modelbuild.modelfile.bounds import Bound
from modelbuild.names import KeyPath

Kind = Literal["loads", "finite", "generate", "perplexity", "lm_eval", "command"]

SCORED = ("perplexity", "lm_eval", "command")
"""The kinds that give a number."""

IN_MEMORY = ("perplexity", "lm_eval")
"""Those of them that measure a model which stands in no directory."""

LOWER_IS_BETTER = ("perplexity", "loss", "bits_per_byte")
"""The metrics of a text."""


class Prompt(Struct, frozen=True):
    """A prompt; its answer has to match every pattern of `require`, and none of `forbid`."""

    text: str
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()


class Generation(Struct, frozen=True):
    """Greedy answers to prompts.

    Args:
        prompts: with patterns of their own.
        require: patterns that every answer has to match.
        forbid: patterns that no answer may match.
        max_repetition: the largest share of repeated 4-grams of tokens that an answer may have, 1 for any.
        max_new_tokens: of each answer.
        chat: whether prompts go through the chat template.

    """

    prompts: tuple[Prompt, ...]
    require: tuple[str, ...]
    forbid: tuple[str, ...]
    max_repetition: float
    max_new_tokens: int
    chat: bool


class Prediction(Struct, frozen=True):
    """How well texts are predicted.

    Args:
        texts: paths, relative to the Modelfile: text, JSON Lines with `text`, or safetensors with windows of token ids.
        tensors: which tensors of a safetensors file.
        window: tokens that are read at once.
        stride: tokens from one window to the next.
        metric: perplexity, loss (nats per token) or bits_per_byte.

    """

    texts: tuple[str, ...]
    tensors: tuple[str, ...]
    window: int
    stride: int
    metric: str


class Harness(Struct, frozen=True):
    """Tasks of lm-eval.

    Args:
        tasks: names, or YAML files relative to the Modelfile.
        limit: documents of each task, 0 for all.
        shots: examples in the context, -1 for what the task says.
        metric: of each task; "" for its first.
        batch_size: requests at once.
        unsafe: whether tasks may run code that the model wrote.

    """

    tasks: tuple[str, ...]
    limit: int
    shots: int
    metric: str
    batch_size: int
    unsafe: bool


class Command(Struct, frozen=True):
    """A command of the user's.

    Args:
        words: the program and its arguments, with placeholders.
        files: globs of the files that its score depends on, relative to the Modelfile.
        timeout: seconds.
        higher_is_better: of its score.

    """

    words: tuple[str, ...]
    files: tuple[str, ...]
    timeout: int
    higher_is_better: bool


class Check(Struct, frozen=True):
    """Something that is measured of models, and the bounds on it; a bound that is None is not set.

    Args:
        name: in the Modelfile.
        kind: what is done.
        of: names and globs of merges; () for every merge.
        parents: models that it is compared with; () for the sources that a merge rests on.
        least: the score must be no lower.
        most: the score must be no higher.
        retention: the share of the best parent's score that has to be left.
        dtype: the type that weights are brought to: float32, float16, bfloat16, or auto.
        how: what the kind needs to know, None for `loads` and `finite`.
        path: where it stands.

    """

    name: str
    kind: Kind
    of: tuple[str, ...]
    path: KeyPath
    parents: tuple[str, ...] = ()
    least: Bound | None = None
    most: Bound | None = None
    retention: Bound | None = None
    dtype: str = "auto"
    how: Generation | Prediction | Harness | Command | None = None

    @property
    def is_scored(self) -> bool:
        """Whether it gives a number that models can be compared by."""
        return self.kind in SCORED

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """Those that are set."""
        return tuple(bound for bound in (self.least, self.most, self.retention) if bound)

    @property
    def needs_parents(self) -> bool:
        """Whether a bound needs the scores of the parents."""
        return self.retention is not None or any(bound.of_parents for bound in self.bounds)


class Axis(Struct, frozen=True):
    """A key of the Modelfile that a search sets: to one of `values`, else to a number from `low` to `high`."""

    key: str
    values: tuple[bool | float | str | tuple[float, ...], ...]
    low: float = 0.0
    high: float = 0.0
    log: bool = False


class Search(Struct, frozen=True):
    """A search for the values of a merge's keys that some checks like best.

    Args:
        name: in the Modelfile.
        of: the merge that is measured.
        objectives: names of checks that give a score.
        space: what is set.
        sampler: grid, random, tpe or nsga2.
        trials: candidates.
        seed: of chance.
        path: where it stands.

    """

    name: str
    of: str
    objectives: tuple[str, ...]
    space: tuple[Axis, ...]
    sampler: str
    trials: int
    seed: int
    path: KeyPath

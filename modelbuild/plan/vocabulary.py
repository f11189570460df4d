"""Vocabularies of a node's models brought together: every model's rows in the order of the result's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild.checkpoint.anatomy import Part
from modelbuild.checkpoint.config import Config, json_text
from modelbuild.checkpoint.sections import at, replaced, text_section
from modelbuild.checkpoint.vocabulary import (
    ADDED,
    CONFIG,
    MOST,
    TOKENIZER,
    Union,
    Vocabulary,
    added_tokens,
    is_closed,
    tokenizer_config,
    tokenizer_json,
    united,
)
from modelbuild.errors import Problem, did_you_mean, some
from modelbuild.graph import Node
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import MADE, TokenSource
from modelbuild.plan.actions import Ref, Step, stepped
from modelbuild.plan.model import Files, Model
from modelbuild.sources.checkpoint import TOKENIZER_FILES

if TYPE_CHECKING:
    from modelbuild.kernels.rows import Rows

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id")
"""Keys of config.json and generation_config.json that name tokens by id."""

ROWS = ("rows", 1)
"""What the step is called that takes them, and its revision."""

_FEW = 0.01
"""The share of rows that may have other tokens before models of one size are refused."""


class Aligned(Struct, frozen=True, dict=True):
    """The models of a node with one vocabulary.

    Args:
        views: the models.
        config: what becomes of config.json.
        files: the tokenizer's files of the result.
        steps: what has to be computed for it.
        problems: what keeps it from being done.
        warnings: what the user may not have meant.

    """

    views: Mapping[str, Model]
    config: Callable[[Config], Config] = field(default=lambda config: config)
    files: Files | None = None
    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def aligned(node: Node, views: Mapping[str, Model], models: Mapping[str, Model], donor: Model, locator: Locator) -> Aligned:
    """Bring the vocabularies of a node's models together, as it says, or see that they are one.

    Args:
        node: the merge.
        views: what is merged, by model.
        models: the models as they are.
        donor: whose tokenizer goes along where nothing is said.
        locator: of the Modelfile.

    """
    return _Aligner(node, views, models, donor, locator).aligned()


class _Aligner:
    def __init__(self, node: Node, views: Mapping[str, Model], models: Mapping[str, Model], donor: Model, locator: Locator) -> None:
        self.node, self.views, self.models, self.donor, self.locator = node, views, models, donor, locator
        self.settings = node.merge.tokenizer
        self.tensors = {name: vocabulary_tensors(view) for name, view in views.items()}
        self.rows = {name: views[name].tensors[held[0]].shape[0] for name, held in self.tensors.items() if held}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.steps: list[Step] = []

    def say(self, what: str, *path: str, facts: tuple[str, ...] = (), hint: str = "") -> None:
        self.problems.append(self.locator.problem(what, (*self.node.merge.path, *path), facts=facts, hint=hint))

    def aligned(self) -> Aligned:
        if not self.rows:
            return Aligned(self.views)
        if self.settings.settles:
            return self.by_token()
        if len(set(self.rows.values())) == 1:
            self.same_tokens()
            return Aligned(self.views, problems=tuple(self.problems), warnings=tuple(self.warnings))
        if self.node.merge.common:
            return self.by_row()
        self.unlike("the models have vocabularies of unlike size", [f"`{name}` has {count} rows" for name, count in self.rows.items()])
        return Aligned(self.views, problems=tuple(self.problems))

    def unlike(self, what: str, facts: list[str]) -> None:
        known = {name: self.models[name].vocabulary for name in self.rows if self.models[name].is_here(TOKENIZER)}
        told = [
            *facts,
            *(f"the tokenizer of `{name}` has {len(vocabulary.ids)} tokens" for name, vocabulary in known.items() if vocabulary),
        ]
        hint = (
            '`tokenizer = { source = "base" }` goes by the tokens of the base, `"union"` by those of all, `vocabulary = "common"` by rows'
        )
        self.say(what, facts=tuple(told), hint=hint)

    def same_tokens(self) -> None:
        """See that rows of models of one size mean the same tokens, as far as tokenizers are on this machine."""
        first, *others = [name for name in self.rows if self.models[name].is_here(TOKENIZER)] or [""]
        for other in others:
            if self.models[first].same_file(self.models[other], TOKENIZER):
                continue
            mine, theirs = self.models[first].vocabulary, self.models[other].vocabulary
            if mine is None or theirs is None or mine.ids == theirs.ids:
                continue
            moved = [token for token, i in theirs.ids.items() if mine.ids.get(token, i) != i]
            other_rows = set(theirs.ids.items()) ^ set(mine.ids.items())
            unlike = len({i for _, i in other_rows})
            fact = f"{unlike} of {self.rows[first]} rows have other tokens in `{other}` than in `{first}`"
            if unlike > _FEW * self.rows[first]:
                self.unlike("the models have different vocabularies", [fact, *([f"among them {some(moved)}"] if moved else [])])
            else:
                named = sorted((token for token, _ in other_rows), key=lambda token: (theirs.ids.get(token, -1), token))
                self.warnings.append(f"`{self.node.name}` merges by rows: {fact}: {some(named)}")

    def by_row(self) -> Aligned:
        """Merge the rows that all models have."""
        from modelbuild.kernels.rows import first_rows

        count = min(self.rows.values())
        views = {name: self.with_rows(name, {name: view}, first_rows(count), count) for name, view in self.views.items()}
        dropped = {name: rows - count for name, rows in self.rows.items() if rows > count}
        lost = ", ".join(f"{more} of `{name}`" for name, more in dropped.items())
        self.warnings.append(f"`{self.node.name}` merges the {count} rows that all vocabularies have, and leaves out {lost}")
        smallest = next(name for name, rows in self.rows.items() if rows == count)
        files = None
        if self.rows.get(self.donor.name, count) > count:
            files = self.donor.files.with_those_of(self.models[smallest].files, TOKENIZER_FILES)
            self.warnings.append(f"`{self.node.name}` takes the tokenizer of `{smallest}`, which knows no token beyond them")
        return Aligned(views, self.sized(count), files, tuple(self.steps), (), tuple(self.warnings))

    def by_token(self) -> Aligned:
        """Give every model the rows of the result's tokens."""
        from modelbuild.kernels.rows import index_of, rows_of

        names = list(self.rows)
        vocabularies = {name: self.vocabulary(name) for name in dict.fromkeys([*names, *self.settings.models])}
        lead = self.settings.source if self.settings.source not in ("", "base", "union") else self.donor.name
        held = {name: vocabulary for name, vocabulary in vocabularies.items() if vocabulary is not None}
        if self.problems or lead not in held:
            return Aligned(self.views, problems=tuple(self.problems))
        others = [held[name] for name in names if name != lead] if self.settings.source == "union" else []
        union = united(held[lead], others, closed=bool(others) and self.is_closed(lead))
        self.tell(union)
        for name in names:
            beyond = [token for token, i in held[name].ids.items() if i >= self.rows[name]]
            if beyond:
                what = f"has no row for {len(beyond)} of its tokens ({some(beyond)}): it has {self.rows[name]} rows"
                self.warnings.append(f"`{self.node.name}`: `{name}` {what}")
        total = self.padded(max(self.row_count(lead), union.vocabulary.size))
        sources = list(dict.fromkeys([*names, *(one.source for one in self.settings.tokens.values() if one.source in held)]))
        indices = [index_of(held[name].ids, self.row_count(name), union.vocabulary.ids, total) for name in sources]
        chosen = self.chosen(union.vocabulary, sources, held)
        if self.problems:
            return Aligned(self.views, problems=tuple(self.problems))
        base = sources.index(self.donor.name) if self.donor.name in sources else 0
        views = dict(self.views)
        for name in names:
            own = sources.index(name)
            ordered = {one: self.views[one] for one in sources}
            views[name] = self.with_rows(name, ordered, rows_of(indices, own, base, chosen), total)
        return Aligned(views, self.renamed(lead, total), self.files(lead, union), tuple(self.steps), (), tuple(self.warnings))

    def is_closed(self, name: str) -> bool:
        files = self.models[name].files
        return TOKENIZER in files.held and is_closed(files.json(TOKENIZER))

    def vocabulary(self, name: str) -> Vocabulary | None:
        found = self.models[name].vocabulary
        if found is None:
            self.say(
                f"`{name}` has no tokenizer.json, which says which row is which token",
                "tokenizer",
                hint="add the file to the model (`AutoTokenizer` writes it), or leave `tokenizer` out",
            )
        return found

    def row_count(self, name: str) -> int:
        """Return how many rows a model has, be it among the inputs or named for its tokens."""
        if name in self.rows:
            return self.rows[name]
        model = self.models[name]
        tokens = model.anatomy.tokens_of(model.tensors)
        return model.tensors[tokens].shape[0] if tokens else 0

    def padded(self, rows: int) -> int:
        multiple = self.settings.multiple or 1
        padded = -(-rows // multiple) * multiple
        if padded > MOST:
            facts = (f"{rows} tokens, brought to a multiple of {multiple}; {MOST} rows are the most",)
            self.say(
                f"the result would have {padded} rows", "tokenizer", "pad_to_multiple_of", facts=facts, hint="choose a smaller multiple"
            )
            return rows
        return padded

    def tell(self, union: Union) -> None:
        if union.mute:
            what = f"{len(union.mute)} ordinary tokens of other tokenizers ({some(union.mute)}) get rows, but no text is split into them"
            self.warnings.append(f"`{self.node.name}`: {what}")
        if union.lost:
            what = f"{len(union.lost)} ordinary tokens of other tokenizers ({some(union.lost)}) have no place in this kind of tokenizer"
            self.warnings.append(f"`{self.node.name}`: {what}")

    def chosen(self, vocabulary: Vocabulary, sources: list[str], held: Mapping[str, Vocabulary]) -> dict[int, tuple[bool, int, int]]:
        """Return what `tokens` says, by row of the result: whether for all models, the number of the source, and its row."""
        found = {}
        for token, wanted in self.settings.tokens.items():
            if token not in vocabulary.ids:
                self.say(
                    f"no token of the result is `{token}`",
                    *wanted.path[2:-1],  # type: ignore[arg-type]
                    facts=(f"it has {len(vocabulary.ids)} tokens",),
                    hint=did_you_mean(token, vocabulary.added) or 'with `source = "union"` it has the tokens of all models',
                )
                continue
            number, row = self.taken(token, wanted, sources, held)
            found[vocabulary.ids[token]] = (wanted.force, number, row)
        return found

    def taken(self, token: str, wanted: TokenSource, sources: list[str], held: Mapping[str, Vocabulary]) -> tuple[int, int]:
        from modelbuild.kernels.rows import MEAN, ZERO

        if wanted.source in MADE:
            return {"zero": ZERO, "mean": MEAN}[wanted.source], 0
        word = wanted.token or token
        row = held[wanted.source].ids.get(word, -1) if wanted.row < 0 else wanted.row
        if wanted.row >= self.row_count(wanted.source):
            facts = (f"`{wanted.source}` has {self.row_count(wanted.source)} rows, counted from 0",)
            self.say(f"there is no row {row}", *wanted.path[2:-1], "id", facts=facts, hint="give a smaller number")  # type: ignore[arg-type]
            return 0, 0
        if not 0 <= row < self.row_count(wanted.source):
            self.say(
                f"`{wanted.source}` has no token `{word}`",
                *wanted.path[2:],  # type: ignore[arg-type]
                hint=did_you_mean(word, held[wanted.source].added) or "name another model, or another `token` of it",
            )
        return sources.index(wanted.source), row

    def with_rows(self, name: str, sources: Mapping[str, Model], rows: Rows, total: int) -> Model:
        """Return a model with the rows of the result in every tensor that has a row for each token."""
        view = self.views[name]
        own = list(sources).index(name)
        changed: dict[str, Ref] = {}
        for tensor in self.tensors[name]:
            refs = [source.tensors.get(tensor, view.tensors[tensor]) for source in sources.values()]
            lead = refs[own]
            if rows.is_whole(own, lead.shape[0]):
                continue
            numbers, used = rows.used()
            shape = (total, *lead.shape[1:])
            step = stepped(
                f"{self.node.name} (rows of {name})", tensor, *ROWS,
                params=(("rows", used.digest),), inputs=tuple(refs[i] for i in numbers), dtype=lead.dtype, shape=shape, payload=used,
                lenient=self.node.merge.lenient,
            )  # fmt: skip
            self.steps.append(step)
            changed[tensor] = step
        return replace(view, tensors={**view.tensors, **changed}) if changed else view

    def sized(self, rows: int) -> Callable[[Config], Config]:
        """State the number of rows, wherever config.json does."""

        def edit(config: Config) -> Config:
            path = text_section(config)
            section = at(config, path)
            if section.get("vocab_size", rows) != rows:
                config = replaced(config, path, {**section, "vocab_size": rows})
            return {**config, "vocab_size": rows} if config.get("vocab_size", rows) != rows else config

        return edit

    def renamed(self, lead: str, rows: int) -> Callable[[Config], Config]:
        """State the number of rows, and the ids of special tokens where another model's tokenizer comes."""
        sized = self.sized(rows)
        theirs = {} if lead == self.donor.name else {key: value for key, value in self.models[lead].config.items() if key in SPECIAL}
        return lambda config: {**sized(config), **theirs}

    def files(self, lead: str, union: Union) -> Files | None:
        """Return the tokenizer's files: the lead's, edited where tokens were added."""
        files = self.donor.files if lead == self.donor.name else self.donor.files.with_those_of(self.models[lead].files, TOKENIZER_FILES)
        edits: dict[str, Callable[[], bytes]] = {}
        if union.new:
            edits[TOKENIZER] = cache(lambda: json_text(tokenizer_json(files.json(TOKENIZER), union)))
            if CONFIG in files.held:
                edits[CONFIG] = cache(lambda: json_text(tokenizer_config(files.json(CONFIG), union)))
            if ADDED in files.held:
                edits[ADDED] = cache(lambda: json_text(added_tokens(files.json(ADDED), union)))
        generation = "generation_config.json"
        theirs = self.models[lead].files
        if lead != self.donor.name and generation in files.held and generation in theirs.held:
            special = {key: value for key, value in theirs.json(generation).items() if key in SPECIAL}
            edits[generation] = cache(lambda: json_text({**files.json(generation), **special}))
        return files.edited(edits) if edits else files


def vocabulary_tensors(model: Model) -> tuple[str, ...]:
    """Return the tensors that have a row for each token: embedding, heads, their biases; the embedding first."""
    anatomy = model.anatomy
    tokens = anatomy.tokens_of(model.tensors)
    if not tokens:
        return ()
    rows, *_ = shape = model.tensors[tokens].shape
    more = [
        name
        for name, ref in model.tensors.items()
        if ref.shape[:1] == (rows,)
        and name != tokens
        and anatomy.end_of(name) is Part.HEAD
        and (ref.shape == shape or (len(ref.shape) == 1 and name.endswith("bias") and "norm" not in name.lower()))
    ]
    return (tokens, *more)

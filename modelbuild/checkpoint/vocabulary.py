"""Vocabularies: which token has which id, read from tokenizer.json, and put together without a tokenizer library.

tokenizer.json: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from modelbuild.names import plain

Json = Mapping[str, Any]

TOKENIZER, CONFIG, ADDED = "tokenizer.json", "tokenizer_config.json", "added_tokens.json"


MOST = 1 << 22
"""Rows: the largest vocabularies have a quarter of these, and each model's are looked up one by one."""


class Malformed(ValueError):
    """A file that should say which token has which id does not."""


class Vocabulary(Struct, frozen=True, eq=False, dict=True):
    """The tokens of a model.

    Args:
        ids: by token; what was added to the tokenizer's own vocabulary too.
        added: the entries of the added tokens, by token.

    """

    ids: Mapping[str, int]
    added: Mapping[str, Json]

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return max(self.ids.values(), default=-1) + 1


def read_vocabulary(json: Callable[[str], Json], held: Collection[str]) -> Vocabulary | None:
    """Read the vocabulary of a model's files, or return None where none of them says it.

    Args:
        json: reads a file.
        held: the files that there are.

    """
    try:
        if TOKENIZER in held:
            table = json(TOKENIZER)
            own = _own(table)
            added = {str(entry["content"]): entry for entry in table.get("added_tokens") or ()}
            return Vocabulary({**own, **{token: _id(entry["id"]) for token, entry in added.items()}}, added)
        if "vocab.json" in held:
            more = {token: _id(at) for token, at in json(ADDED).items()} if ADDED in held else {}
            entries = {token: _entry(token, at) for token, at in more.items()}
            return Vocabulary({**_own({"model": {"vocab": json("vocab.json")}}), **more}, entries)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise Malformed(
            f"{TOKENIZER if TOKENIZER in held else 'vocab.json'} is not as tokenizers write it: {plain(str(error), 200)}"
        ) from None
    return None


def _own(table: Json) -> Mapping[str, int]:
    vocab = (table.get("model") or {}).get("vocab") or {}
    if isinstance(vocab, dict):
        if not all(type(at) is int for at in vocab.values()):
            raise ValueError("an id is no whole number")
        if vocab and not 0 <= min(vocab.values()) <= max(vocab.values()) < MOST:
            raise ValueError(f"an id is no row: ids go from 0 to {MOST}")
        return vocab
    return {str(piece[0]): i for i, piece in enumerate(vocab)}


def _id(at: object) -> int:
    if type(at) is not int or not 0 <= at < MOST:
        raise ValueError(f"the id {at} is no row")
    return at


def _entry(token: str, at: int) -> Json:
    return {"id": at, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


class Union(Struct, frozen=True, eq=False, dict=True):
    """The vocabulary of one model with the tokens that others have and it has not.

    Args:
        vocabulary: all tokens; those of the first keep their ids.
        new: the tokens that were added, in order.
        mute: those of them that no text is split into: ordinary tokens of another tokenizer.
        lost: ordinary tokens of others that the tokenizer has no place for.

    """

    vocabulary: Vocabulary
    new: tuple[str, ...]
    mute: tuple[str, ...]
    lost: tuple[str, ...]


def united(first: Vocabulary, others: Sequence[Vocabulary], *, closed: bool) -> Union:
    """Add to a vocabulary what others have beside it, in their order and the order of their ids.

    Args:
        first: whose ids stay.
        others: what is added.
        closed: whether its tokenizer takes no ordinary tokens (a Unigram model numbers them without a gap).

    """
    ids, added = dict(first.ids), dict(first.added)
    new, mute, lost = [], [], []
    at = first.size
    for other in others:
        for token in sorted(other.ids.keys() - ids.keys(), key=other.ids.__getitem__):
            if token in other.added:
                added[token] = {**other.added[token], "id": at}
            elif closed:
                lost.append(token)
                continue
            else:
                mute.append(token)
            ids[token] = at
            new.append(token)
            at += 1
    return Union(Vocabulary(ids, added), tuple(new), tuple(mute), tuple(dict.fromkeys(lost)))


def is_closed(table: Json) -> bool:
    """Tell whether a tokenizer.json takes no further ordinary tokens."""
    return not isinstance((table.get("model") or {}).get("vocab"), dict)


def tokenizer_json(table: Json, union: Union) -> Json:
    """Write a union into the tokenizer.json of its first vocabulary."""
    mute = set(union.mute)
    changed = dict(table)
    if mute:
        vocab = {**table["model"]["vocab"], **{token: union.vocabulary.ids[token] for token in union.mute}}
        changed["model"] = {**table["model"], "vocab": vocab}
    entries = [union.vocabulary.added[token] for token in union.new if token not in mute]
    return {**changed, "added_tokens": [*(table.get("added_tokens") or ()), *entries]}


def tokenizer_config(table: Json, union: Union) -> Json:
    """Write a union into tokenizer_config.json, where that lists added tokens at all."""
    if not isinstance(table.get("added_tokens_decoder"), dict):
        return table
    more = {
        str(entry["id"]): {key: value for key, value in entry.items() if key != "id"}
        for token in union.new
        if (entry := union.vocabulary.added.get(token))
    }
    return {**table, "added_tokens_decoder": {**table["added_tokens_decoder"], **more}}


def added_tokens(table: Json, union: Union) -> Json:
    """Write a union into added_tokens.json."""
    return {**table, **{token: union.vocabulary.ids[token] for token in union.new if token in union.vocabulary.added}}

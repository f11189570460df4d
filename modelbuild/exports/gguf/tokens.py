"""The tokenizer in GGUF's words: tokens with their kinds, merges or scores, special tokens, chat template.

Two kinds are written: byte-level BPE (llama.cpp's "gpt2"), and BPE over characters with bytes to fall back on, as SentencePiece
makes it (llama.cpp's "llama").  Both are read from tokenizer.json, the latter from tokenizer.model where that is all there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gguf import Keys, TokenType
from msgspec import Struct
from msgspec.structs import replace

from modelbuild.checkpoint.vocabulary import ADDED, CONFIG, TOKENIZER
from modelbuild.exports.gguf.cutting import is_byte_level, way_of
from modelbuild.exports.subject import Subject, Unexportable
from modelbuild.names import plain

if TYPE_CHECKING:
    from gguf import GGUFWriter

PIECES = "tokenizer.model"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPECIAL = ("bos", "eos", "unk", "sep", "pad", "mask")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class Token(Struct, frozen=True):
    """A row of the vocabulary; `score` counts for the kind "llama" alone, where the higher is joined first."""

    text: str
    kind: TokenType = TokenType.NORMAL
    score: float = 0.0


class Tokens(Struct, frozen=True, dict=True):
    """A tokenizer.

    Args:
        kind: what llama.cpp calls it.
        way: what it calls the way that text is cut.
        rows: the tokens, by row.
        merges: pairs that become one, in order.
        leading_space: whether a space is set before a text.
        starts: whether a text begins with the token for beginnings; None where that is not said.
        ends: whether it ends with the token for ends; the same.

    """

    kind: str
    way: str
    rows: Mapping[int, Token]
    merges: tuple[str, ...] = ()
    leading_space: bool = False
    starts: bool | None = None
    ends: bool | None = None


def read_tokens(subject: Subject, way: str) -> Tokens:
    """Read the tokenizer of a model.

    Args:
        subject: the model.
        way: what the user calls the way that it cuts text, or "".

    Raises:
        Unexportable: if there is none, or GGUF has no words for it.

    """
    if TOKENIZER in subject.small:
        try:
            return _of_json(subject.json(TOKENIZER), way)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise Unexportable(f"{TOKENIZER} is not as tokenizers write it", repr(error), hint="copy it again", key="of") from None
    if PIECES in subject.small:
        return _with_added(_of_pieces(subject.small[PIECES]), subject)
    facts = (f"a GGUF file holds its tokenizer, read from {TOKENIZER} or {PIECES}",)
    hint = "save it beside a source: `AutoTokenizer.from_pretrained(…).save_pretrained(…)`"
    raise Unexportable("the model has no tokenizer", *facts, hint=hint, key="of")


def _of_json(table: Mapping[str, Any], way: str) -> Tokens:
    model, cutter = table["model"], table.get("pre_tokenizer")
    if model.get("type", "BPE") != "BPE" or not (is_byte_level(cutter) or model.get("byte_fallback")):
        facts = (f"it is of the type {model.get('type')}",)
        hint = "kinds that are written: byte-level BPE, and BPE with bytes to fall back on"
        raise Unexportable("its tokenizer has no words in GGUF", *facts, hint=hint, key="of")
    merges = tuple(" ".join(pair) if isinstance(pair, list) else str(pair) for pair in model["merges"])
    rows = {at: Token(text) for text, at in model["vocab"].items()}
    if is_byte_level(cutter):
        made = Tokens("gpt2", way or way_of(cutter), rows, merges)
    else:
        made = Tokens("llama", way or "default", _scored(rows, merges, model.get("unk_token")), (), _sets_space(table))
    added = {int(one["id"]): Token(str(one["content"]), _added(bool(one.get("special")))) for one in table.get("added_tokens") or ()}
    kept = {at: token for at, token in added.items() if at not in rows or made.rows[at].kind is TokenType.NORMAL}
    return replace(_framed(made, table), rows={**made.rows, **kept})


def _added(special: bool) -> TokenType:
    return TokenType.CONTROL if special else TokenType.USER_DEFINED


def _scored(rows: Mapping[int, Token], merges: Sequence[str], unknown: str | None) -> dict[int, Token]:
    """Give each token that merges make the score of the earliest of them, and those that none makes less than any."""
    ranks: dict[str, int] = {}
    for i, pair in enumerate(merges):
        ranks.setdefault("".join(pair.split(" ", 1)), i)

    def scored(token: Token) -> Token:
        kind = TokenType.UNKNOWN if token.text == unknown else TokenType.BYTE if _BYTE.fullmatch(token.text) else TokenType.NORMAL
        return Token(token.text, kind, 0.0 if kind is not TokenType.NORMAL else -float(ranks.get(token.text, len(merges))))

    return {at: scored(token) for at, token in rows.items()}


def _sets_space(table: Mapping[str, Any]) -> bool:
    """Tell whether a tokenizer sets a space before a text."""
    normalizer, cutter = table.get("normalizer") or {}, table.get("pre_tokenizer") or {}
    steps = [*(normalizer.get("normalizers") or [normalizer]), *(cutter.get("pretokenizers") or [cutter])]
    return any(
        (one.get("type") == "Prepend" and one.get("prepend") == _SPACE)
        or (one.get("type") == "Metaspace" and one.get("prepend_scheme", "always") != "never")
        for one in steps
    )


def _framed(tokens: Tokens, table: Mapping[str, Any]) -> Tokens:
    """Note which special tokens a tokenizer sets around a text."""
    post = table.get("post_processor") or {}
    for one in post.get("processors") or [post]:
        if one.get("type") == "TemplateProcessing" and one.get("single"):
            first, last = one["single"][0], one["single"][-1]
            return replace(tokens, starts="SpecialToken" in first, ends="SpecialToken" in last)
    return replace(tokens, starts=False, ends=False)


def _of_pieces(data: bytes) -> Tokens:
    """Read a SentencePiece model.

    One that was trained as BPE has ranks for scores, which are whole numbers; those of other kinds are logarithms.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise Unexportable(f"{PIECES} is read with the package `sentencepiece`", hint="install it: `pip install sentencepiece`") from None
    try:
        model = SentencePieceProcessor(model_proto=data)
    except RuntimeError as error:
        raise Unexportable(f"{PIECES} is no SentencePiece model", plain(str(error), 200), hint="copy it again", key="of") from None
    kinds = {TokenType.UNKNOWN: model.is_unknown, TokenType.CONTROL: model.is_control, TokenType.BYTE: model.is_byte}
    kinds[TokenType.UNUSED] = model.is_unused

    def token(at: int) -> Token:
        kind = next((kind for kind, is_such in kinds.items() if is_such(at)), TokenType.NORMAL)
        return Token(model.id_to_piece(at), kind, model.get_score(at))

    rows = {at: token(at) for at in range(model.get_piece_size())}
    if not all(one.score.is_integer() for one in rows.values()):
        raise Unexportable(f"{PIECES} is no BPE", hint="kinds that are written: byte-level BPE, and SentencePiece's BPE", key="of")
    return Tokens("llama", "default", rows, (), model.normalize("a").startswith(_SPACE), starts=True, ends=False)


def _with_added(tokens: Tokens, subject: Subject) -> Tokens:
    """Add what the files beside tokenizer.model add to it."""
    told = subject.json(CONFIG).get("added_tokens_decoder") or {}
    added = {int(at): Token(str(one["content"]), _added(bool(one.get("special")))) for at, one in told.items()}
    added |= {int(at): Token(text, TokenType.USER_DEFINED) for text, at in subject.json(ADDED).items() if int(at) not in added}
    return replace(tokens, rows={**tokens.rows, **{at: one for at, one in added.items() if at not in tokens.rows}})


def describe_tokens(writer: GGUFWriter, subject: Subject, tokens: Tokens, rows: int) -> None:
    """Tell a writer of a tokenizer, for a model with so many rows."""
    over = [token.text for at, token in tokens.rows.items() if at >= rows]
    if over:
        facts = (f"the embedding has {rows} rows, and there are {rows + len(over)} tokens", f"`{over[0]}` has none")
        raise Unexportable("its tokenizer has tokens without rows", *facts, hint="unite vocabularies in the merge: `tokenizer`", key="of")
    every = [tokens.rows.get(at) or Token(f"<unused row {at}>", TokenType.UNUSED) for at in range(rows)]
    writer.add_tokenizer_model(tokens.kind)
    writer.add_tokenizer_pre(tokens.way)
    writer.add_token_list([token.text.encode("utf-8", "surrogatepass") for token in every])
    writer.add_token_types([int(token.kind) for token in every])
    if tokens.kind == "llama":
        writer.add_token_scores([token.score for token in every])
        writer.add_add_space_prefix(tokens.leading_space)
    writer.add_token_merges(tokens.merges)
    _describe_special(writer, subject, tokens)
    _describe_template(writer, subject)


def _describe_special(writer: GGUFWriter, subject: Subject, tokens: Tokens) -> None:
    told, ids = subject.json(CONFIG), {token.text: at for at, token in tokens.rows.items()}
    config = {**subject.config, **{key: at for key, at in subject.json("generation_config.json").items() if key.endswith("_token_id")}}
    found: dict[str, int] = {}
    for name in _SPECIAL:
        token = told.get(f"{name}_token")
        text = token.get("content") if isinstance(token, dict) else token
        stated = config.get(f"{name}_token_id")
        at = ids.get(text) if isinstance(text, str) else next(iter(stated), None) if isinstance(stated, list) else stated
        if type(at) is int and at in tokens.rows:
            found[name] = at
            getattr(writer, f"add_{name}_token_id")(at)
    ends = config.get("eos_token_id")
    more = [at for at in ends if type(at) is int and at != found.get("eos")] if isinstance(ends, list) else []
    if more:
        writer.add_eot_token_id(more[0])
    for name, way in (("bos", tokens.starts), ("eos", tokens.ends)):
        asked = told.get(f"add_{name}_token")
        getattr(writer, f"add_add_{name}_token")(name in found and bool(way if asked is None else asked))


def _describe_template(writer: GGUFWriter, subject: Subject) -> None:
    """Copy the chat template, or several that go by names."""
    if "chat_template.jinja" in subject.small:
        writer.add_chat_template(subject.small["chat_template.jinja"].decode())
        return
    template = subject.json("chat_template.json").get("chat_template") or subject.json(CONFIG).get("chat_template")
    if isinstance(template, list):
        named = {re.sub(r"\W", "_", str(one["name"]), flags=re.ASCII): str(one["template"]) for one in template}
        template = named.pop("default", "")
        for name, text in named.items():
            writer.add_string(Keys.Tokenizer.CHAT_TEMPLATE_N.format(name=name), text)
        writer.add_array(Keys.Tokenizer.CHAT_TEMPLATES, sorted(named))
    writer.add_string(Keys.Tokenizer.CHAT_TEMPLATE, str(template or ""))

"""How text is cut before a byte-level BPE encodes it, and what llama.cpp calls that way.

llama.cpp has the ways built in, by name; tokenizer.json says each as a list of steps with patterns.  Two tokenizers with the same
steps cut alike, whatever model they are of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelbuild.exports.subject import Unexportable
from modelbuild.names import plain

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_MARKS_AND_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*")


def _any(*patterns: str) -> str:
    return "|".join(patterns)


WAYS = {
    ("gpt-2",): "gpt-2",
    ("digits", "gpt-2"): "smollm",
    (_any(_CONTRACTIONS, _WORDS, r"\p{N}{1,3}", _MARKS, _SPACES),): "llama-bpe",
    (_any(_CONTRACTIONS, _WORDS, r"\p{N}", _MARKS, _SPACES),): "qwen2",
    (
        _any(_CONTRACTIONS, r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", r"\p{N}", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", _SPACES),
    ): "qwen35",
    (_any(*_CASED, r"\p{N}", _MARKS_AND_SLASHES, _SPACES),): "tekken",
    (_any(*(f"{cased}{_CONTRACTIONS}?" for cased in _CASED), r"\p{N}{1,3}", _MARKS_AND_SLASHES, _SPACES),): "gpt-4o",
}  # fmt: skip
"""llama.cpp's names by steps: patterns, or "digits" for each digit by itself, and "gpt-2" for the pattern of GPT-2."""


def way_of(pre_tokenizer: Mapping[str, Any] | None) -> str:
    """Return what llama.cpp calls the way that a tokenizer.json cuts text.

    Raises:
        Unexportable: if it is none that has a name there.

    """
    steps = tuple(step for one in _flat(pre_tokenizer) if (step := _step(one)))
    if steps not in WAYS:
        facts = (f"it cuts by {plain(' then '.join(steps), 200) or 'nothing'}", f"known: {', '.join(WAYS.values())}")
        hint = 'name the nearest of llama.cpp: `pre_tokenizer = "default"`'
        raise Unexportable("the way its tokenizer cuts text has no name in llama.cpp", *facts, hint=hint)
    return WAYS[steps]


def is_byte_level(pre_tokenizer: Mapping[str, Any] | None) -> bool:
    """Tell whether a tokenizer turns text into bytes before it looks for tokens."""
    return any(one.get("type") == "ByteLevel" for one in _flat(pre_tokenizer))


def _flat(pre_tokenizer: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if not pre_tokenizer:
        return []
    if pre_tokenizer.get("type") == "Sequence":
        return [step for one in pre_tokenizer.get("pretokenizers") or () for step in _flat(one)]
    return [pre_tokenizer]


def _step(one: Mapping[str, Any]) -> str:
    """Name a step; "" for one that cuts nothing."""
    match one:
        case {"type": "ByteLevel"}:
            return "gpt-2" if one.get("use_regex", True) else ""
        case {"type": "Digits", "individual_digits": True}:
            return "digits"
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
            return pattern
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Removed", "invert": True}:
            return pattern
    return str(one.get("type"))

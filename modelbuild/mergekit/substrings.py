"""Filters between two languages: globs over whole components of a name, and mergekit's substrings."""

from __future__ import annotations

_FIRST = ("lm_head", "embed_out", "score", "classifier", "shared", "wte", "wpe")
"""Words with which names begin, so that no dot stands before them."""


def glob_of(substring: str) -> str:
    """Return the glob that matches wherever a name holds a substring, which has no sign of a glob in it."""
    return f"*{substring}*"


def substring_of(glob: str) -> str:
    """Return the substring that names hold where a glob matches, or "" where there is none.

    A side without `*` ends at a dot.  No name ends with the word that a filter looks for, for the last is `weight` or the like;
    of those with which names begin a few are known.
    """
    inner = glob.removeprefix("*").removesuffix("*")
    if not inner or "*" in inner or "?" in inner:
        return ""
    before = "" if glob.startswith("*") or inner.partition(".")[0] in _FIRST else "."
    after = "" if glob.endswith("*") and len(glob) > len(inner) else "."
    return f"{before}{inner}{after}"

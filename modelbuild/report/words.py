"""Numbers and lists in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from modelbuild.names import VARIANT

ANY_NUMBER = 1 << 20
"""A limit as high as this is none."""

_MANY = 3
"""Variants of a merge that are counted instead of named."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def listed(names: Sequence[str]) -> str:
    """Join names: a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))


def gathered(names: Sequence[str]) -> list[str]:
    """Write many variants of one merge as one: `5 variants of x`."""
    counts = Counter(name.partition(VARIANT)[0] for name in names if VARIANT in name)
    words = [
        f"{counts[merge]} variants of {merge}" if counts.get(merge := name.partition(VARIANT)[0], 0) >= _MANY and VARIANT in name else name
        for name in names
    ]
    return list(dict.fromkeys(words))


def counted(count: int, noun: str) -> str:
    """Write `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def are(count: int) -> str:
    """Return the verb for so many."""
    return "is" if count == 1 else "are"


def seconds(span: float) -> str:
    """Write a span: 0.05s, 41.2s, 2m 03s, 1h 05m."""
    if span < 1:
        return f"{span:.2f}s"
    if span < _MINUTE:
        return f"{span:.1f}s"
    whole = round(span)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"


def ago(span: float) -> str:
    """Write how long ago something was, in its largest unit."""
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if span >= size:
            return f"{counted(int(span // size), unit)} ago"
    return "just now"

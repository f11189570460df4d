"""Numbers and lists in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from modelbuild.names import VARIANT

ANY_NUMBER = 1 << 20
"""A limit as high as this is none."""

_MANY = 3
"""Variants of a merge that are counted instead of named."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")

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


def alike(names: Sequence[str]) -> list[str]:
    """Write names that differ in the number of a layer as one: layers.{0-3,5}.up; in several numbers: layers.*.experts.*.up."""
    found: dict[str, list[int]] = {}
    for name in names:
        numbers = _NUMBER.findall(name)
        found.setdefault(_NUMBER.sub("*", name), []).extend(map(int, numbers[:1]) if len(numbers) == 1 else ())
    return [kind.replace("*", _ranges(numbers), 1) if numbers else kind for kind, numbers in found.items()]


def _ranges(numbers: Sequence[int]) -> str:
    """Write numbers: 4, or {0-3,5}."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [str(low) if low == high else f"{low}-{high}" for low, high in spans]
    return words[0] if words == [str(numbers[0])] else f"{{{','.join(words)}}}"


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

"""How many faults of each kind: the short form, or what MODELBUILD_TORTURE_<NAME> says; `make torture` sets them all."""

from __future__ import annotations

import os


def count(name: str, short: int) -> int:
    """Return how many of a kind a run does; 0 means all that there are."""
    return int(os.environ.get(f"MODELBUILD_TORTURE_{name.upper()}", short))


def sample(total: int, wanted: int, offset: int = 0) -> list[int]:
    """Return `wanted` numbers of `range(total)`, spread evenly, the last included; all where 0 or more than there are are wanted."""
    if wanted == 0 or wanted >= total:
        return list(range(total))
    return sorted({(offset + i * total // wanted) % total for i in range(wanted - 1)} | {total - 1})

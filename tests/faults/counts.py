"""How many faults of each kind a run does."""

from __future__ import annotations

import os

AMOUNTS = {
    "kills": (2, 20),
    "torn": (2, 12),
    "pairs": (2, 20),
    "outside": (2, 10),
    "power": (4, 80),
    "errors": (1, 3),
    "full": (2, 8),
    "damages": (3, 40),
    "rounds": (1, 2),
    "export_kills": (4, 40),
    "export_torn": (1, 12),
    "export_pairs": (1, 12),
    "export_outside": (1, 10),
    "export_power": (4, 60),
    "export_errors": (1, 2),
    "export_full": (2, 8),
}
"""By kind: in the everyday suite, and in the slow one.  MODELBUILD_TORTURE_<KIND> in the environment sets another; 0 means all."""


class Amounts:
    """The amounts of one form of the tests: 0 the short one, 1 the longer one."""

    def __init__(self, form: int) -> None:
        self._form = form

    def __call__(self, kind: str) -> int:
        """Return how many of a kind are done."""
        return int(os.environ.get(f"MODELBUILD_TORTURE_{kind.upper()}", AMOUNTS[kind][self._form]))


def seed(default: int) -> int:
    """Return what chance is drawn from: always the same, or MODELBUILD_TORTURE_SEED."""
    return default + int(os.environ.get("MODELBUILD_TORTURE_SEED", "0"))


def sample(total: int, wanted: int, offset: int = 0) -> list[int]:
    """Return `wanted` numbers of `range(total)`, spread evenly, the last included where there are several; all where 0 or more than there are are wanted."""
    if wanted == 0 or wanted >= total:
        return list(range(total))
    if wanted == 1:
        return [offset % total]
    return sorted({(offset + i * total // wanted) % total for i in range(wanted - 1)} | {total - 1})

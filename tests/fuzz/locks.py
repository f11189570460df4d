"""Locks that lie: of other files, of other digests, with names that lead elsewhere, and texts that are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Where
from tests.fuzz.modelfiles import OTHERS
from tests.fuzz.mutation import STRINGS, bytes_changed, tokens_changed
from tests.support.checkpoints import random_tensors, write_model

MODELFILE = """\
[source]
base.from = "base"
code.from = "code"
[merge.out]
method = "linear"
inputs = ["base", "code"]
"""
QUICK = Options(jobs=1, device="cpu")


def prepare(root: Path) -> None:
    """Lock a merge, and build it."""
    base = random_tensors(0, 1)
    write_model(root / "base", base)
    write_model(root / "code", random_tensors(1, 1, near=base))
    (root / "Modelfile.toml").write_text(MODELFILE)
    where = Where(root / "Modelfile.toml")
    use_cases.lock(where)
    use_cases.build(where, options=QUICK)
    where.lock.rename(root / "sound.lock")


def case(root: Path, rng: Random) -> Callable[[], object]:
    """Write a mutated lock, and hold to it."""
    where = Where(root / "Modelfile.toml")
    where.lock.write_bytes(mutated((root / "sound.lock").read_text(), rng))
    calls: tuple[Callable[[], object], ...] = (
        lambda: use_cases.build(where, options=Options(jobs=1, device="cpu", locked=True)),
        lambda: use_cases.forecast(where, options=Options(jobs=1, device="cpu", locked=True)),
        lambda: use_cases.lock(where, check=True),
        lambda: use_cases.lock(where, dry_run=True),
        lambda: use_cases.verify(where),
        lambda: use_cases.show(where, "out"),
    )
    return rng.choice(calls)


def mutated(sound: str, rng: Random) -> bytes:
    """Return a lock that says something else than it should."""
    how = rng.random()
    names = re.findall(r'"[\w.-]+"(?= = \{)', sound)
    if how < 0.35:
        for name in rng.sample(names, rng.randint(1, len(names))):
            quoted = rng.choice([text for text in STRINGS if text.isprintable() and len(text) < 400])
            sound = sound.replace(name, "'" + quoted.replace("'", "") + "'", 1)
        return sound.encode("utf-8", "surrogatepass")
    if how < 0.5:
        lines = sound.splitlines(keepends=True)
        return tokens_changed(lines, [*lines, "[source.x]\n", 'commit = "../x"\n', "version = 0\n", "[[merge]]\n"], rng).encode()
    tokens = re.findall(r'"[^"]*"|[\w.]+|\s+|.', sound)
    text = tokens_changed(tokens, [*tokens, *OTHERS], rng).encode("utf-8", "surrogatepass")
    return bytes_changed(text, rng) if how < 0.65 else text

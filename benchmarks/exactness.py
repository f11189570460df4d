"""Build every exact method on the example family in many ways, and compare the bytes.

    python benchmarks/exactness.py

Each method's result is an intermediate that a slerp with the base reads, so that it is stored in packs or handed on in
memory.  Ends with 1 where any output has other bytes than in the first build.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from modelbuild.engine import devices
from modelbuild.methods import installed, load
from modelbuild.usecases import Options, Where, build

FAMILY = Path(__file__).resolve().parents[1] / "examples" / "family"
SPECIALISTS = ("code", "math", "prose")
GIVEN: dict[str, dict[str, object]] = {
    **{name: {"density": 0.5} for name in ("ties", "dare_linear", "dare_ties", "della", "della_linear", "breadcrumbs", "breadcrumbs_ties")},
    "ema": {"decay": 0.6},
    "extrapolate": {"alpha": 0.3},
    "nearswap": {"t": 0.01},
    "passthrough": {"scale": 0.9},
    "slerp": {"t": 0.3},
}
FEW = {"arcee_fusion": 1, "extrapolate": 1, "nearswap": 2, "nuslerp": 2, "passthrough": 1, "slerp": 2}
"""How many of the specialists a method takes that does not take all."""
JOBS, CHUNKS, MEMORY, KEPT = (1, 2, 4), (1 << 16, 1 << 20), (0, 64 << 20), (True, False)


@dataclass(frozen=True)
class Way:
    """How to build."""

    jobs: int
    chunk: int
    memory: int
    keep: bool


def exact() -> tuple[str, ...]:
    """Return the names of the exact methods."""
    return tuple(name for name in sorted(installed()) if load(name).numerics == "exact")


def modelfile(names: tuple[str, ...], *, keep: bool) -> str:
    """Write a merge by each method, and one more merge of each."""
    lines = [f"[source.{name}]\nfrom = {json.dumps(str(FAMILY / name))}" for name in ("base", *SPECIALISTS)]
    for name in names:
        inputs = SPECIALISTS[: FEW.get(name, 3)]
        lines += [f"[merge.by_{name}]", f'method = "{name}"', f"inputs = {json.dumps(inputs)}", f"keep = {json.dumps(keep)}"]
        lines += ['base = "base"'] if load(name).base == "required" else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in GIVEN.get(name, {}).items()]
        lines += [f"[merge.{name}]", 'method = "slerp"', f'inputs = ["base", "by_{name}"]', "t = 0.7"]
    return "\n".join(lines) + "\n"


def digests(way: Way, names: tuple[str, ...]) -> dict[str, str]:
    """Build all in a directory of their own, and return the sha256 of each output's weights."""
    devices.Cpu.largest_chunk = way.chunk
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "Modelfile.toml"
        path.write_text(modelfile(names, keep=way.keep))
        build(Where(path), (), Options(jobs=way.jobs, memory=way.memory, device="cpu"))
        return {
            f"{name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
            for name in names
            for file in sorted((Path(work) / "out" / name).glob("*.safetensors"))
        }


def main() -> int:
    """Compare all ways with the first."""
    names, started = exact(), time.perf_counter()
    ways = [Way(*way) for way in itertools.product(JOBS, CHUNKS, MEMORY, KEPT)]
    first, *others = (digests(way, names) for way in ways)
    wrong = {file: way for way, found in zip(ways[1:], others, strict=True) for file in first if found.get(file) != first[file]}
    for file, way in wrong.items():
        print(f"{file} differs with {way}")
    seconds = time.perf_counter() - started
    print(
        f"{len(names)} methods, {len(ways)} builds, {len(first) * len(ways)} files in {seconds:.0f} s: {len(wrong)} of {len(first)} differ"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

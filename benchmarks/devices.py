"""Build on the CPU and on a CUDA device in turn, and compare times and bytes.

    python benchmarks/devices.py [--shape qwen2-0.5b] [--repeat 3] [--only linear ties] [--place DIR] [--jobs 2]

Each build is a process of its own that begins with an empty cache, as in run.py; the first on each device, which compiles
kernels and warms the driver, is not counted.  Prints a table, and ends with 1 where any output differs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from statistics import median

import checkpoints
import measure
from shapes import DEFAULT, SHAPES
from workloads import WORKLOADS

DEVICES = ("cpu", "cuda")
HOLDS = 1 << 30
"""Bytes of memory that a run takes beside what it writes, roughly."""


def main() -> int:
    """Compare from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=DEFAULT, help="of the models")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="builds on each device; default 3")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME", help=f"of: {', '.join(WORKLOADS)}")
    parser.add_argument("--place", type=Path, default=checkpoints.PLACE, metavar="DIR", help="for models and outputs")
    parser.add_argument("--jobs", default="0", metavar="N", help="workers; default one for each core")
    arguments = parser.parse_args()
    shape, work = SHAPES[arguments.shape], arguments.place.resolve() / "work" / "modelbuild"
    models = checkpoints.make(shape, arguments.place.resolve())
    wrong = 0
    print("| merge | cpu, s | cuda, s | cpu / cuda | cpu: CPU, s | cuda: CPU, s | cuda: peak RSS, MB | bytes |\n|" + " --- |" * 8)
    for workload in (WORKLOADS[name] for name in arguments.only):
        runs: dict[str, list[measure.Run]] = {device: [] for device in DEVICES}
        found = set()
        for number in range(arguments.repeat + 1):
            for device in DEVICES:
                measure.settle((work,), (models / model / "model.safetensors" for model in workload.reads))
                measure.touch(workload.copied_bytes(shape) + HOLDS)
                (work / "Modelfile.toml").write_text(workload.modelfile_text(shape, models))
                jobs = () if arguments.jobs == "0" else ("--jobs", arguments.jobs)
                command = (sys.executable, "-m", "modelbuild", "build", workload.name, "--device", device, *jobs)
                done = measure.run(command, work.parent / "log.txt", work)
                runs[device] += [done] if number else []
                found.add(_digest(work / "out" / workload.name))
        wall = {device: median(run.wall for run in runs[device]) for device in DEVICES}
        cpu = {device: median(run.cpu for run in runs[device]) for device in DEVICES}
        rss = max(run.rss for run in runs["cuda"]) / 1e6
        wrong += len(found) > 1
        said = "differ" if len(found) > 1 else "equal"
        row = [f"{wall[d]:.2f}" for d in DEVICES] + [f"{wall['cpu'] / wall['cuda']:.2f}"] + [f"{cpu[d]:.1f}" for d in DEVICES]
        print(f"| {workload.title} | {' | '.join(row)} | {rss:.0f} | {said} |", flush=True)
    return int(wrong > 0)


def _digest(output: Path) -> str:
    hasher = hashlib.sha256()
    for path in sorted(output.glob("*.safetensors")):
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()


if __name__ == "__main__":
    sys.exit(main())

"""Build on the CPU and on a CUDA device in turn, and compare times and bytes.

    python benchmarks/devices.py [--shape qwen2-0.5b] [--repeat 3] [--only linear ties] [--place DIR] [--jobs 2]

Each build is a process of its own that begins with an empty cache, as in run.py; the first on each device, which compiles
kernels and warms the driver, is not counted.  Prints a table, and ends with 1 where any output differs.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from statistics import median

import checkpoints
import measure
from measure import Run
from rounds import OURS_HOLDS
from shapes import DEFAULT, SHAPES
from workloads import WORKLOADS

DEVICES = ("cpu", "cuda")


def main() -> int:
    """Compare from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=DEFAULT, help="of the models")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="builds on each device; default 3")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME", help=f"of: {', '.join(WORKLOADS)}")
    parser.add_argument("--place", type=Path, default=checkpoints.PLACE, metavar="DIR", help="for models and outputs")
    parser.add_argument("--jobs", metavar="N", help="workers; default the program's own")
    arguments = parser.parse_args()
    shape, place = SHAPES[arguments.shape], arguments.place.resolve()
    models, work = checkpoints.make(shape, place), place / "devices"
    jobs = ("--jobs", arguments.jobs) if arguments.jobs else ()
    print("| merge | cpu, s | cuda, s | cpu / cuda | cpu: CPU, s | cuda: CPU, s | cuda: peak RSS, MB | bytes |\n|" + " --- |" * 8)
    alike = True
    for workload in (WORKLOADS[name] for name in arguments.only):
        runs: dict[str, list[Run]] = {device: [] for device in DEVICES}
        found = set()
        for device in DEVICES * (arguments.repeat + 1):
            measure.settle((work,), (models / model / "model.safetensors" for model in workload.reads))
            measure.touch(workload.copied_bytes(shape) + OURS_HOLDS)
            (work / "Modelfile.toml").write_text(workload.modelfile_text(shape, models))
            command = (sys.executable, "-m", "modelbuild", "build", workload.name, "--device", device, *jobs)
            runs[device].append(measure.run(command, work / "log.txt", work))
            found.add(_digest(work / "out" / workload.name))
        print(_row(workload.title, runs, equal=len(found) == 1), flush=True)
        alike = alike and len(found) == 1
    shutil.rmtree(work)
    return int(not alike)


def _row(title: str, runs: dict[str, list[Run]], *, equal: bool) -> str:
    """Say what the runs took, but for the first on each device."""
    counted = {device: some[1:] for device, some in runs.items()}
    cpu, cuda = (median(run.wall for run in counted[device]) for device in DEVICES)
    times = [f"{cpu:.2f}", f"{cuda:.2f}", f"{cpu / cuda:.2f}", *(f"{median(run.cpu for run in counted[device]):.1f}" for device in DEVICES)]
    rss = max(run.rss for run in counted["cuda"])
    return f"| {title} | {' | '.join(times)} | {rss / 1e6:.0f} | {'equal' if equal else 'differ'} |"


def _digest(output: Path) -> str:
    hasher = hashlib.sha256()
    for path in sorted(output.glob("*.safetensors")):
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()


if __name__ == "__main__":
    sys.exit(main())

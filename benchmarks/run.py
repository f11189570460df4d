"""Measure modelbuild, mergekit and the copying of the same bytes, in turn.

    python benchmarks/run.py [--shape qwen2-0.5b] [--repeat 3] [--only ties graph] [--no-mergekit] [--place /dev/shm]

Writes results.json, results.md and a drawing for each shape to --output; shapes measured before stay in them.  The models
are made and merged in --place; what was measured in memory (tmpfs) stands for itself, as no disk has a part in it.  mergekit
is installed into .venv-mergekit unless MODELBUILD_MERGEKIT_VENV names an environment that has it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import figures
import measure
import plot
import report
from rounds import ROOT, Rounds
from shapes import DEFAULT, SHAPES
from workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapes import Shape
    from workloads import Workload

HERE = Path(__file__).resolve().parent
PLACE = HERE / "checkpoints"
CORES = 2
"""Used, of those there are: the figures that are asked for are those of two."""
IN_MEMORY = "tmpfs"
"""The file system whose results stand for themselves."""

_VERSIONS = "from importlib.metadata import version\nfor name in ('mergekit', 'torch', 'transformers'): print(name, version(name))"


def main() -> None:
    """Measure from the command line."""
    arguments = _parser().parse_args()
    _pin(arguments.cores)
    shape, workloads = SHAPES[arguments.shape], [WORKLOADS[name] for name in arguments.only or WORKLOADS]
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    place: Path = arguments.place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    _room_for(shape, workloads, place)
    _make_models(shape, place)
    mergekit = None if arguments.no_mergekit else _mergekit()
    rounds = Rounds(shape, place / shape.name, place / "work", workloads, mergekit)
    machine = measure.machine(place)
    name = f"{shape.name}-{IN_MEMORY}" if machine["file system"] == IN_MEMORY else shape.name
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine,
        "mergekit": _versions(mergekit) if mergekit else {},
        "model": shape.nbytes(),
    }
    try:
        rounds.warm_up()
        for number in range(1, arguments.repeat + 1):
            rounds.once(number)
            _write(output, name, {**about, "repeat": number, **rounds.found}, some=bool(arguments.only))
    except measure.RunFailedError as error:
        sys.exit(str(error))
    finally:
        rounds.close()
    print((output / "results.md").read_text())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=DEFAULT, help="of the models")
    parser.add_argument("--repeat", type=_positive, default=3, metavar="N", help="rounds; default 3")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=f"of: {', '.join(WORKLOADS)}")
    parser.add_argument("--no-mergekit", action="store_true", help="leave mergekit out: it takes nine tenths of the time")
    parser.add_argument("--cores", type=int, default=CORES, metavar="N", help=f"use so many; default {CORES}, 0 for all")
    parser.add_argument("--place", type=Path, default=PLACE, metavar="DIR", help="for models and outputs; default benchmarks/checkpoints")
    parser.add_argument("--output", type=Path, default=HERE, metavar="DIR", help="for the results; default benchmarks")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _pin(cores: int) -> None:
    """Let this process and all that it starts use so many cores, of each the first thread."""
    if cores and hasattr(os, "sched_setaffinity"):
        first = {_siblings(cpu): cpu for cpu in sorted(os.sched_getaffinity(0), reverse=True)}
        os.sched_setaffinity(0, sorted(first.values())[:cores])


def _siblings(cpu: int) -> str:
    """Return the threads of the core that a thread belongs to, or its own number where the system does not say."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _make_models(shape: Shape, place: Path) -> None:
    """Make the models in another process, so that this one stays small."""
    subprocess.run([sys.executable, str(HERE / "checkpoints.py"), "--shape", shape.name, "--place", str(place)], check=True)


def _room_for(shape: Shape, workloads: Sequence[Workload], place: Path) -> None:
    """Refuse to begin what would fill the disk: whatever one contender writes is removed before the next begins."""
    written = max(workload.output_bytes(shape) + (len(workload.stages) - 1) * shape.nbytes() for workload in workloads)
    needed = written + (0 if (place / shape.name).is_dir() else 4 * shape.nbytes())
    free = shutil.disk_usage(place).free
    if free < 1.1 * needed:
        sys.exit(f"{needed / 1e9:.0f} GB are needed below {place}, {free / 1e9:.0f} GB are free")


def _mergekit() -> Path:
    """Return an environment with mergekit: the one that is named, or that of the parity tests, made if it is not there."""
    if given := os.environ.get("MODELBUILD_MERGEKIT_VENV"):
        return Path(given).resolve()
    sys.path.insert(0, str(ROOT))
    from tests.parity.oracle import ensure

    return ensure(ROOT / ".venv-mergekit")


def _versions(home: Path) -> dict[str, str]:
    done = subprocess.run([str(home / "bin" / "python"), "-c", _VERSIONS], check=True, capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines())


def _write(output: Path, shape: str, found: dict[str, Any], *, some: bool) -> None:
    """Write what is known so far: a run that is broken off has not been in vain.

    Where only `some` workloads are measured, what is known of the others stays, if it is of the same machine and version.
    """
    path = output / "results.json"
    results = figures.read(path)
    before = results["shapes"].get(shape, {})
    if some and before.get("machine") == found["machine"]:
        merged = {part: {**before.get(part, {}), **found[part]} for part in ("workloads", "threads", "chunks")}
        found = {**before, **found, **merged, "mergekit": found["mergekit"] or before["mergekit"]}
    results["shapes"][shape] = found
    figures.write(path, results)
    for name in results["shapes"]:
        (output / f"results-{name}.svg").write_text(plot.drawing(results, name))
    (output / "results.md").write_text(report.report(results))


if __name__ == "__main__":
    main()

"""How long commands take that do no work: medians of whole processes, and ratios to a Python that does nothing.

    python benchmarks/startup.py [--rounds N] [--json FILE] [--mergekit DIRECTORY]

The example family is built in a directory of its own, until a build finds nothing to do; then all commands run in turns, so that
whatever else the machine does meets all of them alike.  `mergekit-yaml --help` runs with them where its virtual environment is.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = "python -c pass"
MERGEKIT = "mergekit-yaml --help"
TARGETS = {"--help": 0.25, "status": 0.2}
"""Seconds that a command is to stay under."""

COMMANDS: Mapping[str, Sequence[str]] = {
    "--help": ("--help",),
    "--version": ("--version",),
    "build (nothing to do)": ("build",),
    "status": ("status",),
    "log": ("log",),
    "explain release": ("explain", "release"),
    "methods": ("methods",),
    "methods ties": ("methods", "ties"),
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="runs of each command")
    parser.add_argument("--json", type=Path, help="write the seconds of every run here")
    parser.add_argument("--mergekit", type=Path, default=ROOT / ".venv-mergekit", help="mergekit's virtual environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        project = prepared(Path(directory))
        program = [sys.executable, "-m", "modelbuild"]
        commands = {PYTHON: [sys.executable, "-c", "pass"]}
        commands |= {name: [*program, *words] for name, words in COMMANDS.items()}
        mergekit = options.mergekit / "bin" / "mergekit-yaml"
        if mergekit.is_file():
            commands[MERGEKIT] = [str(mergekit), "--help"]
        runs = measured(commands, project, options.rounds)
    table(runs)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=2) + "\n")


def prepared(directory: Path) -> Path:
    """Copy the example into a directory, and build it until a build leaves a stamp."""
    shutil.copy(ROOT / "Modelfile.example.toml", directory / "Modelfile.toml")
    shutil.copytree(ROOT / "examples" / "family", directory / "examples" / "family")
    time.sleep(2.1)  # younger sources leave no stamp
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "modelbuild", "build", "-q"], cwd=directory, check=True)
    return directory


def measured(commands: Mapping[str, Sequence[str]], project: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Run all commands in turns; the first turn, which reads files from the disk, does not count.

    Returns:
        Wall clock and processor time of each run, in seconds: where others use the machine, the second tells more.

    """
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MODELBUILD_", "PYTHON"))}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            before, spent = time.perf_counter(), processor()
            subprocess.run(command, cwd=project, env=environment, capture_output=True, check=True)
            if turn:
                runs[name].append((time.perf_counter() - before, processor() - spent))
    return runs


def processor() -> float:
    """Return the processor time of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table(runs: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Print medians, the best run, and ratios of medians."""
    medians = {name: statistics.median(wall for wall, _ in seconds) for name, seconds in runs.items()}
    mergekit = medians.get(MERGEKIT)
    print("| command | median, s | best, s | processor, s | to Python | to mergekit | at most, s |\n|---|---|---|---|---|---|---|")
    for name, median in medians.items():
        best, spent = min(wall for wall, _ in runs[name]), statistics.median(spent for _, spent in runs[name])
        share = f"{median / mergekit:.3f}" if mergekit else ""
        limit = f"{TARGETS[name]}{'' if median < TARGETS[name] else ': not met'}" if name in TARGETS else ""
        print(f"| `{name}` | {median:.3f} | {best:.3f} | {spent:.3f} | {median / medians[PYTHON]:.1f} | {share} | {limit} |")


if __name__ == "__main__":
    main()

"""results.json: read, written, and turned into the figures that are asked about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from shapes import DEFAULT
from workloads import WORKLOADS, Wanted, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FORMAT = 1

MERGEKIT, OURS, COPY, COPY_FSYNC = "mergekit", "modelbuild", "copy", "copy, fsync"
CONTENDERS = (MERGEKIT, OURS, COPY, COPY_FSYNC)

MEMORY = 700e6
"""Bytes that a streaming method may take, whatever the size of the model."""

HEADERS = 0.01
"""Share of the sources that counts as none: their headers are read, and what the system reads ahead."""
INDEX = 0.05
"""Share of a layer's packs that may be written beside them: the index of the cache, config.json and the like."""

Results = dict[str, Any]
"""{"format": 1, "shapes": {shape: {"machine", "workloads": {workload: {contender: [run]}}, "rebuilds", "threads", "chunks",
"planning", "startup"}}}"""


@dataclass(frozen=True)
class Figure:
    """A figure that does not depend on how fast the machine is, or a limit that must hold on any.

    Args:
        key: tells it from the others of its shape.
        value: measured.
        wanted: what it must and should come to, where that is said.
        more: whether more of it is better.
        kind: a ratio is compared with another run's; a bound only with what it must be; seconds with nobody else's.

    """

    key: str
    value: float
    wanted: Wanted | None = None
    more: bool = False
    kind: Literal["ratio", "bound", "seconds"] = "ratio"

    def reaches(self, limit: float) -> bool:
        """Tell whether it is as good as `limit`."""
        return self.value >= limit if self.more else self.value <= limit

    def worse(self, than: float) -> float:
        """Return how many times worse it is than another value of it."""
        large, small = (than, self.value) if self.more else (self.value, than)
        return large / small if small > 0 else 1.0

    @property
    def verdict(self) -> str:
        """Say which of what is wanted it reaches."""
        if self.wanted is None:
            return ""
        if self.wanted.goal is not None and self.reaches(self.wanted.goal):
            return "goal"
        return "must" if self.reaches(self.wanted.must) else "**missed**"


def read(path: Path) -> Results:
    """Read results; empty ones where there are none, or of another format."""
    empty: Results = {"format": FORMAT, "shapes": {}}
    if not path.is_file():
        return empty
    found: Results = json.loads(path.read_text())
    return found if found.get("format") == FORMAT else empty


def write(path: Path, results: Results) -> None:
    """Write results."""
    path.write_text(json.dumps(results, indent=1) + "\n")


def middle(runs: Sequence[Mapping[str, float]], what: str = "wall") -> float:
    """Return the median of some figure of several runs."""
    return median(run[what] for run in runs)


def of(results: Results, shape: str) -> tuple[Figure, ...]:
    """Return the figures of a shape."""
    found = results["shapes"][shape]
    return (
        *_of_workloads(results, shape),
        *_of_rebuilds(found),
        *_of_threads(found.get("threads", {})),
        *_of_chunks(found.get("chunks", {})),
        *_of_planning(found.get("planning", {})),
        *_of_startup(found.get("startup", {})),
    )


def runs_of(workloads: Mapping[str, Any], workload: Workload, contender: str) -> Sequence[Mapping[str, float]]:
    """Return the runs of a contender in a workload; those of mergekit may be another workload's."""
    runs: Sequence[Mapping[str, float]] = workloads[workload.name].get(contender, ())
    if not runs and contender == MERGEKIT:
        runs = workloads.get(workload.peer, {}).get(contender, ())
    return runs


def _of_workloads(results: Results, shape: str) -> Iterator[Figure]:
    measured, default = results["shapes"][shape]["workloads"], results["shapes"].get(DEFAULT, {})
    smaller = default["workloads"] if default and results["shapes"][shape]["model"] > default["model"] else {}
    for workload in WORKLOADS.values():
        if workload.name not in measured:
            continue
        runs = {contender: runs_of(measured, workload, contender) for contender in CONTENDERS}
        ours = middle(runs[OURS])
        if runs[MERGEKIT]:
            yield Figure(f"{workload.title}: mergekit / modelbuild", middle(runs[MERGEKIT]) / ours, workload.faster, more=True)
        yield Figure(f"{workload.title}: modelbuild / copy", ours / middle(runs[COPY]), workload.slower)
        rss = middle(runs[OURS], "rss")
        yield Figure(f"{workload.title}: peak RSS, MB", rss / 1e6, Wanted(MEMORY / 1e6))
        if workload.name in smaller:
            growth = rss / middle(smaller[workload.name][OURS], "rss")
            yield Figure(f"{workload.title}: peak RSS / that of {DEFAULT}", growth, Wanted(1.1), kind="bound")
        written = middle(runs[OURS], "written")
        if written >= 0:
            yield Figure(f"{workload.title}: bytes written / bytes to be written", written / measured[workload.name]["bytes"])


def _of_rebuilds(found: Mapping[str, Any]) -> Iterator[Figure]:
    rebuilds = found.get("rebuilds")
    if not rebuilds:
        return
    clean, null = middle(found["workloads"]["graph"][OURS]), middle(rebuilds["null"])
    yield Figure("null build, s", null, Wanted(0.15), kind="seconds")
    yield Figure("null build / starting Python", null / middle(found["startup"]["python"]))
    yield Figure("change t of the slerp / clean build", middle(rebuilds["t"]) / clean, Wanted(0.5))
    if min(rebuilds["t_sources"]) >= 0:
        share = max(rebuilds["t_sources"]) / rebuilds["sources"]
        yield Figure("change t of the slerp: share of the sources read", share, Wanted(HEADERS), kind="bound")
    layer = middle(rebuilds["layer"])
    yield Figure("change t of one layer / clean build", layer / clean, Wanted(0.25))
    yield Figure("change t of one layer - null build, s", layer - null, Wanted(1.0), kind="seconds")
    written = middle(rebuilds["layer"], "written")
    if written >= 0:
        packs = median(rebuilds["layer_packs"])
        yield Figure("change t of one layer: bytes written / packs of that layer", written / packs, Wanted(1 + INDEX), kind="bound")


def _of_threads(threads: Mapping[str, Any]) -> Iterator[Figure]:
    for name, by_jobs in threads.items():
        one, two, four = (middle(by_jobs[jobs]) for jobs in ("1", "2", "4"))
        yield Figure(f"{WORKLOADS[name].title}: 1 thread / 2 threads", one / two, more=True)
        yield Figure(f"{WORKLOADS[name].title}: 4 threads / 2 threads", four / two, Wanted(1.1))


def _of_chunks(chunks: Mapping[str, Any]) -> Iterator[Figure]:
    for name, by_size in chunks.items():
        best = min(map(middle, by_size.values()))
        yield Figure(f"{WORKLOADS[name].title}: chunks of 2^20 / of the best size", middle(by_size[str(1 << 20)]) / best)


def _of_planning(planning: Mapping[str, Sequence[float]]) -> Iterator[Figure]:
    for name, title, limit in (("graph", "100 nodes of 300 tensors", 1.0), ("experts", "45,000 tensors of experts", 2.0)):
        if name in planning:
            yield Figure(f"planning {title}, s", median(planning[name]), Wanted(limit), kind="seconds")


def _of_startup(startup: Mapping[str, Any]) -> Iterator[Figure]:
    if startup:
        yield Figure("modelbuild --help / starting Python", middle(startup["help"]) / middle(startup["python"]))

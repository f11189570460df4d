"""results.md: tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import figures
from figures import CONTENDERS, COPY, COPY_FSYNC, MERGEKIT, OURS
from shapes import DEFAULT
from workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from figures import Figure, Results

_PREFACE = """\
# Benchmarks

Written by `make bench`; the samples are in `results.json`.

Figures of merges are medians over the rounds of whole processes, from their start to their end, as the commands `modelbuild
build`, `mergekit-yaml CONFIG OUT --copy-tokenizer` (one process for each stage of a graph) and a copying loop were run in turn,
round after round. Planning is timed inside a process that has imported what it needs, hashing by processor time. The kernels
were compiled before. Before each run cache and outputs are removed, the file systems are synced, and the sources are read once,
so that they are in the page cache where memory allows it. Both programs have their default settings: modelbuild hashes what it
reads and writes, and its outputs have reached the disk when it ends; mergekit, told `dtype: bfloat16`, does neither. No GPU is
used.

- **copy** reads every source once and writes as many bytes as the merge has to, its kept intermediates included, each whole,
  to a new file, with one thread and a buffer of 1 MiB. It ends when the system has the bytes; **copy, fsync** when the disk has them. The
  limits are those of copying without fsync.
- **tmpfs** holds files in memory. What is measured there is without the disk, which neither program can make any faster, and for which
  modelbuild waits while mergekit does not.
- **peak RSS** counts mapped files that are in memory; of several stages it is the largest. **written** is what programs gave
  to the system to write.
"""

_FOR = f"""\
The limits are for {DEFAULT} on 2 cores, those of one layer for qwen2-1.5b, whose layers have packs of their own. For other shapes
they stand here for comparison."""


def report(results: Results) -> str:
    """Write the whole report: the shape that the limits are for first."""
    shapes = sorted(results["shapes"], key=lambda shape: (not shape.startswith(DEFAULT), results["shapes"][shape]["model"], shape))
    return "\n".join([_PREFACE, *(_shape(results, shape) for shape in shapes)])


def _shape(results: Results, shape: str) -> str:
    found = results["shapes"][shape]
    machine = [*found["machine"].items(), *found["mergekit"].items()]
    rounds = f"{found['repeat']} round{'s' if found['repeat'] > 1 else ''} on {found['date']}"
    parts = [
        f"## {shape}: {found['model'] / 1e6:.0f} MB a model, bfloat16",
        f"{rounds}; " + ", ".join(f"{name} {value}" for name, value in machine) + ".",
        f"![seconds of each merge](results-{shape}.svg)",
        "### Time",
        _table(
            ("merge", *(f"{name}, s" for name in CONTENDERS), "mergekit / modelbuild", "modelbuild / copy", "modelbuild / copy, fsync"),
            _times(found["workloads"]),
        ),
        _failed(found["workloads"]),
        "### Memory, processor time and bytes written",
        _table(
            ("merge", *(f"{name}: {what}" for name in CONTENDERS[:2] for what in ("peak RSS, MB", "CPU, s", "written, MB"))),
            _costs(found["workloads"]),
        ),
        _hashing(found["workloads"]),
        _by("Threads", "--jobs {}", found.get("threads", {})),
        _by("Elements of a chunk at most", "{}", found.get("chunks", {})),
        _rebuilds(found),
        "### What is asked",
        _FOR,
        _table(("figure", "must", "goal", "measured", "reached"), _asked(figures.of(results, shape))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _times(workloads: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for workload in WORKLOADS.values():
        if workload.name in workloads:
            runs = {name: figures.runs_of(workloads, workload, name) for name in CONTENDERS}
            yield (
                workload.title,
                *(_spread(runs[name]) for name in CONTENDERS),
                *(_ratio(runs[one], runs[other]) for one, other in ((MERGEKIT, OURS), (OURS, COPY), (OURS, COPY_FSYNC))),
            )


def _costs(workloads: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for workload in WORKLOADS.values():
        if workload.name in workloads:
            cells = [workload.title]
            for name in CONTENDERS[:2]:
                runs = figures.runs_of(workloads, workload, name)
                cells += [_middle(runs, "rss", 1e6, 0), _middle(runs, "cpu", 1, 2), _middle(runs, "written", 1e6, 0)]
            yield cells


def _failed(workloads: Mapping[str, Any]) -> str:
    """Say what ended with an error after it had written all weights: its time counts until then."""
    names = [WORKLOADS[name].title for name, contenders in workloads.items() for run in contenders.get(MERGEKIT, ())[:1] if run["code"]]
    return f"mergekit ended with an error, after it had written all weights, in: {'; '.join(names)}." if names else ""


def _hashing(workloads: Mapping[str, Any]) -> str:
    """Say what blake3 of the same bytes takes on one core, as a share of the processor time of the build."""
    rows = (
        (
            workload.title,
            _middle(runs["hashing"], "cpu", 1, 2),
            f"{figures.middle(runs['hashing'], 'cpu') / figures.middle(runs[OURS], 'cpu'):.0%}",
        )
        for workload in WORKLOADS.values()
        if "hashing" in (runs := workloads.get(workload.name, {}))
    )
    return "### Hashing\n\n" + _table(("merge", "blake3 of what is read and written, CPU s", "share of the build's CPU time"), rows)


def _by(title: str, label: str, found: Mapping[str, Any]) -> str:
    """Say how long merges take by a number they are given."""
    if not found:
        return ""
    numbers = sorted(next(iter(found.values())), key=int)
    rows = ([WORKLOADS[name].title, *(_spread(by_number[number]) for number in numbers)] for name, by_number in found.items())
    return f"### {title}\n\n" + _table(("merge", *(f"`{label.format(number)}`, s" for number in numbers)), rows)


def _rebuilds(found: Mapping[str, Any]) -> str:
    """Say what is done again after which change of the graph."""
    rebuilds = found.get("rebuilds")
    if not rebuilds:
        return ""
    clean = found["workloads"]["graph"][OURS]
    kinds = {
        "nothing changed": rebuilds["null"],
        "t of the slerp": rebuilds["t"],
        "t of one layer": rebuilds["layer"],
        **rebuilds["others"],
    }
    rows = [("clean build", clean), *kinds.items()]
    return "### Building the graph again\n\n" + _table(
        ("after", "s", "of a clean build", "written, MB"),
        ((title, _spread(runs), _ratio(runs, clean), _middle(runs, "written", 1e6, 1)) for title, runs in rows),
    )


def _asked(found: Sequence[Figure]) -> Iterator[Sequence[str]]:
    for figure in found:
        if figure.wanted:
            sign = "≥" if figure.more else "≤"
            limits = ("" if limit is None else f"{sign} {limit:g}" for limit in (figure.wanted.must, figure.wanted.goal))
            yield figure.key, *limits, _number(figure.value), figure.verdict


def _ratio(of: Sequence[Mapping[str, float]], to: Sequence[Mapping[str, float]]) -> str:
    return _number(figures.middle(of) / figures.middle(to)) if of and to else ""


def _spread(runs: Sequence[Mapping[str, float]]) -> str:
    if not runs:
        return ""
    walls = sorted(run["wall"] for run in runs)
    return f"{figures.middle(runs):.2f} ({walls[0]:.2f} to {walls[-1]:.2f})" if len(walls) > 1 else f"{walls[0]:.2f}"


def _middle(runs: Sequence[Mapping[str, float]], what: str, unit: float, digits: int) -> str:
    return f"{figures.middle(runs, what) / unit:.{digits}f}" if runs and figures.middle(runs, what) >= 0 else ""


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

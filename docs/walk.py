"""Walk as a new user does, on a fresh clone, and write the page that tells what was typed and printed, and how long it took.

    python docs/walk.py

Takes minutes, on a machine that does nothing else.  Packages come from where pip is told to look.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "walkthrough.md"
FAMILY = " ".join(f"-m examples/family/{name}" for name in ("base", "code", "math", "prose"))
REPEATED = 3
_PROGRESS = re.compile(r"^(?:\d+%, .* left|make: .*)\n", re.MULTILINE)
_VENV_NOISE = re.compile(r"^(?:python3 -m venv|\S+/python -m pip|touch|WARNING:) .*\n", re.MULTILINE)

PROSE = """\
# A timed walk

A new user on a fresh clone: install, a first merge of merges, a mistake, a sweep. `python docs/walk.py` walks it and writes this page.
Commands and transcripts are as they were typed and printed; in brackets what each took, by the clock and in processor time. Lines of
progress are left out, and the directory is the clone.

Measured on {machine}; {load:.1f} processes were waiting for a processor when it began. Packages came from a near mirror.

| step | by the clock | processor |
|---|---|---|
| install: a virtual environment with all tools of development | {install} |
| the first build, which also compiles the kernels, once per installation | {first} |
| **from the clone to the first merge**, with `init` | {whole} |
| a build with nothing to do | {null} |
| the same build from nothing, median of {repeated} | {clean} |
| a sweep of five values from nothing, median of {repeated} | {sweep} |

Five values cost {times:.1f} builds by the clock, and {times_cpu:.1f} in processor time.

## Install

```text
{install_block}
```

## The first merge

```text
{first_block}
```

## A mistake, mended from its message

One word of the Modelfile gets wrong:

```text
{mistake_block}
```

## A sweep of five values

First what one build costs, with nothing in the cache and the kernels compiled:

```text
{clean_block}
```

Then the share of attention at five values, again from nothing. Its first try has another mistake, of a kind that is easily made:

```text
{sweep_block}
```

The TIES merge, which is the dear one, is made once, and so is everything in the variants that the swept value does not reach: they are
{actions} tensors to be merged, where five builds would be {apart}.
"""


@dataclass
class Took:
    """What a command took, in seconds by the clock and of processors."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Took) -> Took:
        """Return what both took."""
        return Took(self.wall + other.wall, self.cpu + other.cpu)

    @property
    def cells(self) -> str:
        """Two cells of a table."""
        return f"{_told(self.wall)} | {_told(self.cpu)}"


@dataclass
class Session:
    """A shell in a directory, command by command; what it printed, and what each took."""

    directory: Path
    path: str
    blocks: dict[str, list[str]] = field(default_factory=dict)
    took: dict[str, list[Took]] = field(default_factory=dict)

    def type(self, block: str, command: str, name: str = "", *, shown: bool = True) -> str:
        """Run a command and return what it printed, which stands in a block; what it took is kept under a name, and shown then."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        environment = {**os.environ, "PATH": self.path, "COLUMNS": "140"}
        done = subprocess.run(  # noqa: S602 - what a user types
            command, shell=True, executable="/bin/bash", cwd=self.directory, env=environment, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = Took(time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        printed = _VENV_NOISE.sub("", _PROGRESS.sub("", done.stdout))
        if name:
            self.took.setdefault(name, []).append(took)
        if shown:
            lines = [f"$ {command}", *printed.rstrip("\n").split("\n")] if printed.strip() else [f"$ {command}"]
            self.blocks.setdefault(block, []).extend([*lines, *([f"[{_told(took.wall)}, processor {_told(took.cpu)}]"] if name else [])])
        return printed

    def text(self, block: str) -> str:
        """Return a block."""
        return "\n".join(self.blocks[block])

    def middle(self, name: str) -> Took:
        """Return the medians of what was run under a name."""
        return Took(median(one.wall for one in self.took[name]), median(one.cpu for one in self.took[name]))


def main() -> None:
    """Walk, and write the page."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="modelbuild-walk-") as directory:
        clone = Path(directory) / "modelbuild"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        session = Session(clone, f"{clone / '.venv' / 'bin'}:{os.environ['PATH']}")
        actions = walk(session)
    one, five = session.middle("clean"), session.middle("sweep")
    install, init, first = (session.took[name][0] for name in ("install", "init", "first"))
    PAGE.write_text(
        PROSE.format(
            machine=_machine(),
            load=load,
            install=install.cells,
            first=first.cells,
            whole=" | ".join(f"**{cell}**" for cell in (install + init + first).cells.split(" | ")),
            null=session.middle("null").cells,
            clean=one.cells,
            sweep=five.cells,
            repeated=REPEATED,
            times=five.wall / one.wall,
            times_cpu=five.cpu / one.cpu,
            actions=actions,
            apart=5 * _merged(session.text("clean")),
            **{f"{name}_block": session.text(name) for name in session.blocks},
        )
    )


def walk(session: Session) -> int:
    """Type all commands; return how many tensors the sweep merged."""
    session.type("install", "make install", "install")
    session.type("install", ". .venv/bin/activate")
    session.type("first", f"modelbuild init --template multi-stage {FAMILY}", "init")
    session.type("first", "cat Modelfile.toml")
    session.type("first", "modelbuild build", "first")
    session.type("first", "modelbuild build", "null")
    session.type("mistake", "sed -i '0,/density = 0.5/s//densitee = 0.5/' Modelfile.toml")
    session.type("mistake", "modelbuild build", "wrong")
    session.type("mistake", "sed -i 's/densitee/density/' Modelfile.toml")
    session.type("mistake", "modelbuild build", "null")
    for i in range(REPEATED):
        session.type("clean", "rm -rf cache out", shown=not i)
        session.type("clean", "modelbuild build", "clean", shown=not i)
    session.type("sweep", "rm -rf cache out")
    session.type("sweep", r"""printf '\n[merge.release.matrix]\n"t[0].value" = [0.1, 0.2, 0.3, 0.4, 0.5]\n' >> Modelfile.toml""")
    session.type("sweep", "modelbuild build", "wrong")
    session.type("sweep", "sed -i 's#out/release\"#out/release/{variant}\"#' Modelfile.toml")
    printed = ""
    for i in range(REPEATED):
        printed = session.type("sweep", "modelbuild build", "sweep", shown=not i)
        if i < REPEATED - 1:
            shutil.rmtree(session.directory / "cache")
            shutil.rmtree(session.directory / "out")
    session.type("sweep", "modelbuild build", "null")
    return _merged(printed)


def _merged(printed: str) -> int:
    """Return how many tensors the last line that says so says were merged."""
    return int(re.findall(r"(\d+) merged, ", printed)[-1])


def _told(seconds: float) -> str:
    """Write a time as people say it."""
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of an {model}, {memory:.0f} GiB of memory, Python {platform.python_version()}"


if __name__ == "__main__":
    main()

"""What a build came to, as data: the same for the console, for `--json` and for the Python API."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from modelbuild.errors import Exit, Problem


class Options(Struct, frozen=True):
    """How to build; none of it changes bytes.

    Args:
        jobs: workers, 0 for one per core.
        force: run every action, whatever the records say.
        keep_going: build what does not rest on what failed.
        device: auto, cpu, cuda or cuda:N.
        memory: bytes for buffers and intermediates, 0 for half of what is available.
        locked: go by the lock, which has to be right, and come out as it says.
        frozen: go by the pins of the lock, right or not, and leave it as it is.
        no_check: make exports of targets whose checks were not run, and say so.

    """

    jobs: int = 0
    force: bool = False
    keep_going: bool = False
    device: str = "auto"
    memory: int = 0
    locked: bool = False
    frozen: bool = False
    no_check: bool = False


State = Literal["built", "fresh", "failed", "stale"]
"""Of a target: stale only in a forecast."""


class BuiltTarget(Struct, frozen=True):
    """One target after a build.

    Args:
        name: the merge.
        path: its output directory.
        state: what became of it.
        tensors: how many its output has.
        point: of a variant, what it has from its matrix, by parameter.
        run: actions that ran for it, or would; what several targets rest on counts for the first of them.
        reused: the other actions that it rests on.
        nbytes: what the results of those that ran hold.

    """

    name: str
    path: str
    state: State
    tensors: int
    point: Mapping[str, Any] = field(default_factory=dict)
    run: int = 0
    reused: int = 0
    nbytes: int = 0


class ForeseenExport(Struct, frozen=True):
    """An export in a forecast: what a build would do with it.

    Args:
        name: the export.
        of: its target.
        why: it would be made; "" where it stands.
        failing: the checks of its target that fail by what is recorded, and what they say; with one the build would fail.

    """

    name: str
    of: str
    why: str = ""
    failing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Actions(Struct, frozen=True):
    """An action is one output tensor of one node: total = run + reused."""

    total: int = 0
    run: int = 0
    reused: int = 0


class Bytes(Struct, frozen=True):
    """Bytes read from sources and packs, written to packs and outputs, and linked instead of written."""

    read: int = 0
    written: int = 0
    linked: int = 0


class Saved(Struct, frozen=True):
    """What a build did not do because it had been done: bytes of sources not read, and the seconds of merging, None if not known."""

    read: int = 0
    seconds: float | None = None


class Outcome(Struct, frozen=True):
    """A build, done or forecast.

    Args:
        targets: in the order asked for.
        actions: counts.
        aliased: tensors that hand an input's digest on.
        bytes: counts.
        seconds: wall clock.
        peak_rss_bytes: the process's largest resident set.
        warnings: what the user may not have meant.
        exact: whether a forecast's counts are exact; true after a build.
        problems: what failed.
        exit_code: of the program.
        saved: against a build that knows nothing.
        whole: what such a build would do, and one that finds everything fresh saves.
        past_builds: how many a forecast's seconds and memory are judged by; without one they rest on a cautious rate.
        exports: of a forecast, those that would be made, or not be let through by checks.

    """

    targets: tuple[BuiltTarget, ...]
    actions: Actions
    aliased: int
    bytes: Bytes
    seconds: float
    peak_rss_bytes: int
    warnings: tuple[str, ...] = ()
    exact: bool = True
    problems: tuple[Problem, ...] = ()
    exit_code: int = Exit.DONE
    saved: Saved = Saved()
    whole: Saved = Saved()
    past_builds: int = 0
    exports: tuple[ForeseenExport, ...] = ()

    @classmethod
    def nothing(cls) -> Outcome:
        """Return that of a build of nothing."""
        return cls((), Actions(), 0, Bytes(), 0.0, 0)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        table: dict[str, Any] = to_builtins(self)
        table["problems"] = [str(problem) for problem in self.problems]
        del table["exit_code"], table["whole"]
        return table

    def nothing_done(self) -> dict[str, Any]:
        """Return what the same build reports when it finds everything fresh: see `from_stamp`."""
        return replace(
            self,
            targets=tuple(replace(one, state="fresh", run=0, reused=one.run + one.reused, nbytes=0) for one in self.targets),
            actions=Actions(self.actions.total, 0, self.actions.total),
            bytes=Bytes(),
            saved=self.whole,
        ).to_json()


def from_stamp(table: Mapping[str, Any], seconds: float, peak_rss_bytes: int) -> Outcome:
    """Read back what `nothing_done` gave."""
    return Outcome(
        tuple(BuiltTarget(**target) for target in table["targets"]),
        Actions(**table["actions"]),
        table["aliased"],
        Bytes(**table["bytes"]),
        seconds,
        peak_rss_bytes,
        tuple(table["warnings"]),
        saved=Saved(**table["saved"]),
    )


def peak_rss() -> int:
    """Return the largest resident set of this process so far, in bytes.

    Linux is asked for the process's own mark: the one of getrusage starts from that of the process that started it.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

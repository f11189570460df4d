"""The rounds: in each, every contender does every workload once, one right after the other."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from figures import COPY, COPY_FSYNC, MERGEKIT, OURS
from measure import Run, RunFailedError
from workloads import WORKLOADS, changed_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shapes import Shape
    from workloads import Workload

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
COPYING, HASHING, PLANNING, CHUNKED = (str(HERE / f"{name}.py") for name in ("copying", "hashing", "planning", "chunked"))
JOBS = (1, 2, 4)
CHUNKS = tuple(1 << bits for bits in (16, 17, 18, 19, 20, 21))
"""Elements."""
SCALED = ("linear", "ties")
"""Workloads that are run with several numbers of threads and sizes of chunks: one that moves bytes, one that computes."""
PLANNED = ("graph", "experts")
OURS_HOLDS, MERGEKIT_HOLDS = 1 << 30, 6 << 30
"""Bytes of memory that a run takes beside what it writes, roughly: so much is touched before."""
NULL_BUILDS = 3
"""In each round."""

Figures = dict[str, Any]


class Rounds:
    """Measures one shape.

    Args:
        shape: of the models.
        models: where they are.
        work: a directory for whatever is written, on the same file system.
        workloads: which.
        mergekit: the directory of its virtual environment, or None to leave it out.

    """

    def __init__(self, shape: Shape, models: Path, work: Path, workloads: Sequence[Workload], mergekit: Path | None) -> None:
        """Measure nothing yet."""
        self._shape, self._models, self._workloads, self._mergekit = shape, models, workloads, mergekit
        self._ours, self._theirs, self._copy = work / "modelbuild", work / "mergekit", work / "copy"
        self._log = work / "log.txt"
        names = {workload.name for workload in workloads}
        self._shared = {workload.name for workload in workloads if workload.peer in names}
        self.found: Figures = {"workloads": {}, "threads": {}, "chunks": {}, "planning": {}, "startup": {"python": [], "help": []}}
        if "graph" in names:
            sources = sum(path.stat().st_size for path in self._sources(WORKLOADS["graph"]))
            self.found["rebuilds"] = {
                "null": [],
                "t": [],
                "layer": [],
                "t_sources": [],
                "layer_packs": [],
                "sources": sources,
                "others": {},
            }

    def warm_up(self) -> None:
        """Run everything once without measuring: kernels are compiled, programs and models come into the page cache."""
        shutil.rmtree(self._ours.parent, ignore_errors=True)
        self._ours.parent.mkdir(parents=True)
        for workload in self._workloads:
            self._say("warm-up", workload.title)
            self._settle(workload)
            self._build(workload)
        if self._mergekit:
            self._run([str(self._mergekit / "bin" / "mergekit-yaml"), "--help"])

    def once(self, number: int) -> None:
        """Do one round."""
        self._start_up()
        self._plan()
        for workload in self._workloads:
            self._say(f"round {number}", workload.title)
            runs = self.found["workloads"].setdefault(workload.name, {"bytes": workload.copied_bytes(self._shape)})
            if self._mergekit and workload.name not in self._shared:
                self._keep(runs, MERGEKIT, self._merge(workload))
            self._settle(workload)
            self._keep(runs, OURS, self._build(workload))
            if workload.name == "graph":
                self._rebuild(workload)
            for contender in (COPY, COPY_FSYNC):
                self._keep(runs, contender, self._copied(workload, fsync=contender == COPY_FSYNC))
            hashed = sum(path.stat().st_size for path in self._sources(workload)) + workload.copied_bytes(self._shape)
            self._keep(runs, "hashing", self._run([*_PYTHON[:2], HASHING, str(hashed)]))
            if workload.name in SCALED:
                self._scale(workload)

    def close(self) -> None:
        """Leave nothing but the log."""
        for directory in (self._ours, self._theirs, self._copy):
            shutil.rmtree(directory, ignore_errors=True)

    def _merge(self, workload: Workload) -> Run:
        """Let mergekit do it, as its users would: the defaults of its command line, one process for each stage."""
        assert self._mergekit
        command = str(self._mergekit / "bin" / "mergekit-yaml")
        self._settle(workload, MERGEKIT_HOLDS)
        total = None
        stages = workload.stage_texts(self._shape, self._models, self._theirs)
        for name, text in stages:
            config = self._theirs / f"{name}.yml"
            config.write_text(text)
            done = self._run([command, str(config), str(self._theirs / name), "--copy-tokenizer"], may_fail=True)
            total = total.then(done) if total else done
            wanted = workload.output_bytes(self._shape) if name == stages[-1][0] else self._shape.nbytes()
            if done.code:
                print(f"mergekit ended with {done.code} in {name}: see {self._log}", file=sys.stderr)
            self._check(self._theirs / name, wanted)
        assert total
        return total

    def _build(self, workload: Workload, *more: str, program: Sequence[str] = (), **values: float) -> Run:
        """Build with modelbuild."""
        text = workload.modelfile_text(self._shape, self._models, **values)
        (self._ours / "Modelfile.toml").write_text(text)
        done = self._run([*(program or _MODELBUILD), "build", workload.name, "-f", "Modelfile.toml", *_DEVICE, *more], self._ours)
        self._check(self._ours / "out" / workload.name, workload.output_bytes(self._shape))
        return done

    def _copied(self, workload: Workload, *, fsync: bool) -> Run:
        """Read the same files, and write as many bytes."""
        self._settle(workload)
        output, inputs = str(self._copy / "copy.bin"), map(str, self._sources(workload))
        size = str(workload.copied_bytes(self._shape))
        done = self._run([*_PYTHON, COPYING, *(["--fsync"] if fsync else []), size, output, *inputs])
        shutil.rmtree(self._copy)
        return done

    def _rebuild(self, workload: Workload) -> None:
        """Build again after no change, after one number, and after one number of one layer; the graph was built just before."""
        found, sources = self.found["rebuilds"], self._sources(workload)
        for _ in range(NULL_BUILDS):
            measure.settle((), ())
            self._keep(found, "null", self._build(workload))
        measure.touch(workload.copied_bytes(self._shape) + OURS_HOLDS)
        for source in sources:
            measure.forget(source)
        in_memory = all(measure.resident(source) >= source.stat().st_size for source in sources)  # such files are never forgotten
        self._keep(found, "t", self._build(workload, t=0.6, layer_t=0.6))
        seen = [measure.resident(source) for source in sources]
        found["t_sources"].append(-1 if in_memory or min(seen) < 0 else sum(seen))
        before = self._packs()
        measure.settle((), self._warm(workload))
        self._keep(found, "layer", self._build(workload, t=0.6, layer_t=0.3))
        new = [path for path in self._packs() - before if _holds(path, changed_layer(self._shape))]
        found["layer_packs"].append(sum(path.stat().st_size for path in new))
        self._rebuild_otherwise(workload)

    def _rebuild_otherwise(self, workload: Workload) -> None:
        """Build again after changes beside the graph's numbers."""
        others, values = self.found["rebuilds"]["others"], {"t": 0.6, "layer_t": 0.3}
        source = self._sources(workload)[-1]
        touched = ("a source touched, the same in content", source.touch)
        deleted = ("the output deleted", lambda: shutil.rmtree(self._ours / "out"))
        forgotten = ("the output deleted and the cache's index lost", self._forget)
        for title, change in (touched, deleted, forgotten):
            change()
            measure.settle((), self._warm(workload))
            self._keep(others, title, self._build(workload, **values))
        _flip(source)
        try:
            measure.settle((), self._warm(workload))
            self._keep(others, "one element of a source changed", self._build(workload, **values))
        finally:
            _flip(source)

    def _forget(self) -> None:
        shutil.rmtree(self._ours / "out")
        shutil.rmtree(self._ours / "cache" / "index")

    def _plan(self) -> None:
        for what in PLANNED:
            root = self._ours.parent / "planning"
            shutil.rmtree(root, ignore_errors=True)
            self._run([sys.executable, PLANNING, what, str(root)])
            self.found["planning"].setdefault(what, []).append(float((root / "seconds.txt").read_text()))

    def _scale(self, workload: Workload) -> None:
        by_jobs = self.found["threads"].setdefault(workload.name, {})
        for jobs in JOBS:
            self._settle(workload)
            self._keep(by_jobs, str(jobs), self._build(workload, "--jobs", str(jobs)))
        by_chunk = self.found["chunks"].setdefault(workload.name, {})
        for chunk in CHUNKS:
            self._settle(workload)
            self._keep(by_chunk, str(chunk), self._build(workload, program=(sys.executable, CHUNKED, str(chunk))))

    def _start_up(self) -> None:
        for _ in range(NULL_BUILDS):
            self._keep(self.found["startup"], "python", self._run([*_PYTHON, "-c", "pass"]))
            self._keep(self.found["startup"], "help", self._run([*_MODELBUILD, "--help"]))

    def _settle(self, workload: Workload, held: int = OURS_HOLDS) -> None:
        measure.settle((self._ours, self._theirs, self._copy), self._warm(workload))
        measure.touch(workload.copied_bytes(self._shape) + held)

    def _sources(self, workload: Workload) -> list[Path]:
        return [self._models / model / "model.safetensors" for model in workload.reads]

    def _warm(self, workload: Workload) -> list[Path]:
        """Return the sources if all of them, and the outputs, can be in the page cache together."""
        sources = self._sources(workload)
        return sources if 2 * sum(path.stat().st_size for path in sources) < measure.available() else []

    def _packs(self) -> set[Path]:
        return set((self._ours / "cache" / "packs").glob("*.safetensors"))

    def _run(self, command: Sequence[str], cwd: Path | None = None, *, may_fail: bool = False) -> Run:
        return measure.run(command, self._log, cwd or self._ours.parent, may_fail=may_fail)

    def _check(self, output: Path, wanted: int) -> None:
        """A merge that wrote too little is no merge, however fast it was."""
        held = sum(path.stat().st_size for path in output.glob("*.safetensors"))
        if held < wanted:
            raise RunFailedError(f"{output} holds {held} bytes of weights instead of {wanted}; see {self._log}")

    @staticmethod
    def _keep(runs: dict[str, Any], name: str, run: Run) -> None:
        runs.setdefault(name, []).append(run.to_json())

    @staticmethod
    def _say(what: str, title: str) -> None:
        print(f"{what}: {title}", flush=True)


_PYTHON = (sys.executable, "-I", "-S")
_MODELBUILD = (sys.executable, "-m", "modelbuild")
_DEVICE = ("--device", "cpu") if Path("/dev/nvidiactl").exists() else ()
"""The table is about the CPU, which is mergekit's default everywhere, and ours where there is no GPU."""


def _flip(source: Path) -> None:
    """Change one bit of the last element, or change it back."""
    with source.open("r+b") as file:
        file.seek(-2, 2)
        (byte,) = file.read(1)
        file.seek(-2, 2)
        file.write(bytes([byte ^ 1]))


def _holds(pack: Path, layer: int) -> bool:
    """Tell whether a pack holds tensors of a layer."""
    return any(name.startswith(f"model.layers.{layer}.") for name in _names(pack))


def _names(pack: Path) -> Iterator[str]:
    with pack.open("rb") as file:
        yield from json.loads(file.read(int.from_bytes(file.read(8), "little")))

"""Graphs of merges as Hypothesis draws and changes them: an incremental build is a clean one, and a forecast holds."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild import files
from modelbuild import usecases as use_cases
from modelbuild.cache import Cache, stattable
from modelbuild.usecases import Options, Outcome, stamp
from tests.support.checkpoints import random_tensors
from tests.support.doors import Gone
from tests.support.projects import Project

LAYERS = 2
OPTIONS = {"jobs": 1, "device": "cpu"}
METHODS = ("linear", "slerp", "task_arithmetic", "ties", "dare_linear", "passthrough")

shares = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0])
numbers = st.integers(0, 1 << 16)


class Node(Struct, dict=True):
    """One merge, as it stands in the Modelfile."""

    method: str
    inputs: list[str]
    share: float
    keep: bool = True
    dtype: str = ""
    shard_size: str = ""

    def text(self, name: str) -> str:
        """Write it."""
        one, two = self.inputs
        share = max(self.share, 0.25)
        body = {
            "linear": f'inputs = ["{one}", {{ model = "{two}", weight = {share} }}]',
            "slerp": f'inputs = ["{one}", "{two}"]\nt = [{{ filter = "mlp", value = {self.share} }}, {{ value = 0.5 }}]',
            "task_arithmetic": f'base = "{one}"\ninputs = [{{ model = "{two}", weight = {self.share} }}]',
            "ties": f'base = "{one}"\ninputs = ["{two}"]\ndensity = [{share}, 1.0]',
            "dare_linear": f'base = "{one}"\ninputs = [{{ model = "{two}", density = {share} }}]',
            "passthrough": f'slices = [{{ model = "{one}", layers = [0, 1] }}, {{ model = "{two}", layers = [1, 2] }}]',
        }[self.method]
        lines = [f'method = "{self.method}"', body, f"keep = {str(self.keep).lower()}"]
        lines += [f'dtype = "{self.dtype}"'] if self.dtype else []
        lines += [f'output = {{ shard_size = "{self.shard_size}" }}'] if self.shard_size else []
        return "\n".join([f'[merge."{name}"]', *lines, ""])


class Written(Struct, dict=True):
    """A project as it should be: what its sources hold, and its merges in order."""

    project: Project
    sources: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def write(self) -> None:
        """Write the Modelfile."""
        sources = "".join(f'[source."{name}"]\nfrom = "s{number}"\n' for name, number in self.sources.items())
        self.project.write(sources + "".join(node.text(name) for name, node in self.nodes.items()))

    @property
    def models(self) -> list[str]:
        """Everything that a merge may read."""
        return [*self.sources, *self.nodes]

    def consumed(self) -> set[str]:
        """What some merge reads."""
        return {name for node in self.nodes.values() for name in node.inputs}

    def renamed(self, old: str, new: str) -> None:
        """Give a model another name, everywhere."""
        self.sources = {new if name == old else name: number for name, number in self.sources.items()}
        self.nodes = {new if name == old else name: node for name, node in self.nodes.items()}
        for node in self.nodes.values():
            node.inputs = [new if name == old else name for name in node.inputs]


def outputs(project: Project, outcome: Outcome) -> dict[str, str]:
    """Hash every file of every target."""
    held = (path for target in outcome.targets for path in Path(target.path).iterdir())
    return {str(path.relative_to(project.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in held}


class Graphs(RuleBasedStateMachine):
    """A project that is changed, lost in part, killed and built."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="modelbuild-graphs-"))
        self.written = Written(Project(self.home / "project"))
        self.project = self.written.project
        self.project.root.mkdir()
        self.base = random_tensors(0, LAYERS)
        self.names = 0
        self.unchanged = False
        """Whether nothing that a key holds was changed since everything was built."""

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    @initialize(number=numbers)
    def begin(self, number: int) -> None:
        for i in range(3):
            self.store(i, random_tensors(number + i, LAYERS, near=self.base), 1)
            self.written.sources[f"source{i}"] = i
        self.written.nodes = {"first": Node("linear", ["source0", "source1"], 0.5), "second": Node("slerp", ["source2", "first"], 0.3)}

    def store(self, source: int, tensors: dict[str, np.ndarray], shards: int) -> None:
        """Write a source anew."""
        shutil.rmtree(self.project.root / f"s{source}", ignore_errors=True)
        self.project.model(f"s{source}", tensors, shards=shards)
        setattr(self, f"held{source}", (tensors, shards))

    def drawn(self, names: list[str], number: int) -> str:
        return names[number % len(names)]

    @rule(number=numbers, share=st.none() | shares, keep=st.booleans())
    def repeat(self, number: int, share: float | None, keep: bool) -> None:
        """Add a merge that is like another, in all or in some of its tensors."""
        node = self.written.nodes[self.drawn([*self.written.nodes], number)]
        self.names += 1
        self.written.nodes[f"like.{self.names}"] = replace(
            node, inputs=[*node.inputs], share=node.share if share is None else share, keep=keep
        )
        self.unchanged = False

    @rule(method=st.sampled_from(METHODS), one=numbers, two=numbers, share=shares, keep=st.booleans())
    def add(self, method: str, one: int, two: int, share: float, keep: bool) -> None:
        models = self.written.models
        first = self.drawn(models, one)
        second = self.drawn([name for name in models if name != first], two)
        self.names += 1
        self.written.nodes[f"node.{self.names}"] = Node(method, [first, second], share, keep)
        self.unchanged = False

    @rule(number=numbers, share=shares, dtype=st.sampled_from(["", "float32"]), shard_size=st.sampled_from(["", "3kB"]))
    def edit(self, number: int, share: float, dtype: str, shard_size: str) -> None:
        node = self.written.nodes[self.drawn(list(self.written.nodes), number)]
        node.share, node.dtype, node.shard_size = share, dtype, shard_size
        self.unchanged = False

    @rule(number=numbers)
    def rename(self, number: int) -> None:
        """Of a source or a merge: names are in no key."""
        self.names += 1
        self.written.renamed(self.drawn(self.written.models, number), f"other-{self.names}")

    @rule(source=st.integers(0, 2), shards=st.integers(1, 3))
    def shard(self, source: int, shards: int) -> None:
        """The same tensors in other files: files are in no key."""
        tensors, _ = getattr(self, f"held{source}")
        self.store(source, tensors, shards)

    @rule(source=st.integers(0, 2), number=numbers)
    def touch(self, source: int, number: int) -> None:
        """One tensor of a source changes, or is written as it was."""
        tensors, shards = getattr(self, f"held{source}")
        name = self.drawn(sorted(tensors), number)
        values = tensors[name] if number % 3 == 0 else random_tensors(number, LAYERS, near=self.base)[name]
        self.store(source, {**tensors, name: values}, shards)
        self.unchanged = False

    @precondition(lambda self: len(self.written.nodes) > 1)
    @rule(number=numbers)
    def delete(self, number: int) -> None:
        """A merge that nobody reads goes."""
        free = [name for name in self.written.nodes if name not in self.written.consumed()]
        if len(self.written.nodes) > 1:
            del self.written.nodes[self.drawn(free, number)]
        self.unchanged = False

    @rule(size=st.sampled_from([1, 5_000, 100_000]))
    def collect(self, size: int) -> None:
        """Packs go, whatever is made of them."""
        self.written.write()
        use_cases.cache_gc(self.project.where, size)
        self.unchanged = False

    @rule(what=st.sampled_from(["cache/packs", "cache/index", "cache", "out", "cache/stamps"]))
    def lose(self, what: str) -> None:
        shutil.rmtree(self.project.root / what, ignore_errors=True)
        self.unchanged = False

    @rule(after=st.integers(1, 120))
    def kill(self, after: int) -> None:
        """A build ends before one of its changes to the disk, as by SIGKILL: nothing of the process runs any more."""
        self.written.write()
        child = os.fork()
        if not child:
            files.door.current = Gone(after)
            try:
                self.project.build(**OPTIONS)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        self.unchanged = False

    @rule()
    def build(self) -> None:
        """Foretold, done, done again, and done from nothing elsewhere."""
        self.written.write()
        where, options = self.project.where, Options(**OPTIONS)  # type: ignore[arg-type]
        foretold = use_cases.forecast(where, (), options)
        outcome = self.project.build(**OPTIONS)
        again = self.project.build(**OPTIONS)

        assert not outcome.exit_code
        if foretold.exact:
            assert (foretold.actions, foretold.bytes.written) == (outcome.actions, outcome.bytes.written)
        assert foretold.actions.total == outcome.actions.total
        assert foretold.actions.run >= outcome.actions.run
        assert foretold.bytes.written >= outcome.bytes.written
        assert foretold.bytes.read >= outcome.bytes.read
        assert not (self.unchanged and outcome.actions.run)
        assert (0, 0) == (again.actions.run, again.bytes.written)
        assert self.clean() == outputs(self.project, outcome)
        assert self.waiting() == {lock.parent for lock in (self.project.root / "cache" / "staging").glob("*/lock")}
        self.unchanged = True

    def waiting(self) -> set[Path]:
        """Return where builds that died left a tensor that no pack holds, and that is none of this graph, just built elsewhere."""
        cache, graph = Cache.open(self.project.root / "cache"), Cache.open(self.home / "clean" / "cache")
        salvage = cache.salvage()
        salvage.release()
        with closing(cache), closing(graph):
            return {
                tensor.location.path.parent
                for tensor in salvage.tensors
                if tensor.entry.key  # what was copied from a source is there still
                and graph.records.digest(tensor.entry.key) is None
                and cache.packs.locate(tensor.entry.digest, tensor.entry.dtype, tensor.entry.shape) is None
            }

    def clean(self) -> dict[str, str]:
        """Build the same elsewhere, without a cache."""
        fresh = Project(self.home / "clean")
        shutil.rmtree(fresh.root, ignore_errors=True)
        fresh.root.mkdir()
        for i in range(3):
            (fresh.root / f"s{i}").symlink_to(self.project.root / f"s{i}")
        fresh.write(self.project.where.file.read_text())
        return outputs(fresh, fresh.build(**OPTIONS))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are taken as settled at once, so that what is known of them counts; every change moves their stat all the same."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)


def _run(examples: int, steps: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(
        Graphs,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


@pytest.mark.usefixtures("at_once")
def test_an_incremental_build_of_any_graph_is_a_clean_one_and_its_forecast_holds():
    """A few histories, the same each time."""
    _run(4, 12, derandomize=True)


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_an_incremental_build_of_many_graphs_is_a_clean_one_and_its_forecast_holds():
    """GRAPHS histories (100 where nothing is said), other ones each time."""
    _run(int(os.environ.get("GRAPHS", "100")), 20, derandomize=False)

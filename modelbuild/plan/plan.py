"""The plan: every model of the graph as a table of tensors, each a leaf or an action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from modelbuild.checkpoint.config import CODE_KEYS, Config, with_dtype, without_code
from modelbuild.checkpoint.dtypes import ARITHMETIC
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.graph import Graph
from modelbuild.modelfile.checks import COMBINATION, EXTRACTION, MIXTURE
from modelbuild.modelfile.model import Merge
from modelbuild.names import real
from modelbuild.plan import layout
from modelbuild.plan.actions import Action, Leaf, Ref, rounded
from modelbuild.plan.adapters import adapted
from modelbuild.plan.doubles import doubles
from modelbuild.plan.lints import lints
from modelbuild.plan.lowrank import plan_combination, plan_extraction
from modelbuild.plan.mixture import plan_mixture
from modelbuild.plan.model import Files, Model
from modelbuild.plan.node import plan_node
from modelbuild.sources.checkpoint import Checkpoint


class Target(Struct, frozen=True, dict=True):
    """A model to be written.

    Args:
        name: the merge.
        tensors: what is written, by name, after the rounding to `output.dtype` if there is one.
        files: the tensors of each weight file, by file name.
        linked: whether the files are laid out as packs; if not they are shards of `shard_size`.
        kept: whether those packs stay in the cache.
        path: the output directory.
        config: config.json as it is to be, or {}.
        along: the files that go along, config.json as it was among them.

    """

    name: str
    tensors: Mapping[str, Ref]
    files: Mapping[str, tuple[str, ...]]
    linked: bool
    kept: bool
    path: Path
    config: Config
    along: Files

    @property
    def own_nodes(self) -> tuple[str, ...]:
        """The nodes whose actions write its tensors: the merge, and the casts of its output."""
        return self.name, cast_node(self.name)


class Plan(Struct, frozen=True, dict=True):
    """What a build of some targets comes to.

    Args:
        graph: the bound Modelfile.
        checkpoints: the sources that are read, by name.
        models: sources and merges as tensors, by name, in building order.
        targets: what is asked for, by name.
        actions: all actions that the targets rest on, inputs first.
        aliased: tensors that hand an input's digest on.
        equal: tensors that must be equal in all inputs because no method computes on their type: (label, refs).
        warnings: what the user may not have meant.

    """

    graph: Graph
    checkpoints: Mapping[str, Checkpoint]
    models: Mapping[str, Model]
    targets: Mapping[str, Target]
    actions: tuple[Action, ...]
    aliased: int
    equal: tuple[tuple[str, tuple[Ref, ...]], ...]
    warnings: tuple[str, ...]

    @cached_property
    def doubles(self) -> Mapping[Action, Action]:
        """The actions that compute what an earlier one does, which runs for both."""
        return doubles(self.actions)

    def first(self, ref: Ref) -> Ref:
        """Return what is computed for a tensor: itself, unless it is a double."""
        return self.doubles.get(ref, ref) if isinstance(ref, Action) else ref

    def firsts(self, actions: Iterable[Action]) -> frozenset[Action]:
        """Return actions without those that are doubles."""
        return frozenset(action for action in actions if action not in self.doubles)

    @cached_property
    def leaves(self) -> frozenset[Leaf]:
        """The tensors of sources that the targets rest on."""
        refs = [need for action in self.actions for need in action.needs]
        refs += [ref for target in self.targets.values() for ref in target.tensors.values()]
        return frozenset(ref for ref in refs if isinstance(ref, Leaf))


def make_plan(graph: Graph, checkpoints: Mapping[str, Checkpoint], targets: Iterable[str], root: Path, cache: Path) -> Plan:
    """Plan the building of `targets`.

    Args:
        graph: the bound Modelfile.
        checkpoints: every source that the targets rest on, opened.
        targets: names of merges.
        root: the directory that output paths are relative to.
        cache: the cache's directory, where no output may go.

    Raises:
        ModelbuildError: exit 2, with everything that does not fit together.

    """
    targets = tuple(dict.fromkeys(targets))
    models = {name: Model.of_source(checkpoint) for name, checkpoint in checkpoints.items()}
    problems: list[Problem] = []
    equal: list[tuple[str, tuple[Ref, ...]]] = []
    warnings: list[str] = []
    own: list[Action] = []
    aliased = 0
    for source in (graph.modelfile.sources[name] for name in checkpoints if name in graph.modelfile.sources):
        if source.adapters:
            with_adapters = adapted(graph.modelfile, source, models)
            models[source.name] = with_adapters.model
            own += with_adapters.actions
            problems += with_adapters.problems
    for name in graph.upstream(targets):
        node = graph.nodes[name]
        if any(model not in models for model in node.models):
            continue  # what it reads is wrong already
        planned = _PLANNERS.get(node.merge.method, plan_node)(node, models, graph.modelfile.locator, root)
        problems += planned.problems
        if planned.problems:
            continue
        models[name] = planned.model
        equal += planned.equal
        warnings += (*planned.warnings, *lints(node, graph, models, planned.actions))
        own += planned.actions
        computed = set(planned.actions)
        aliased += sum(ref not in computed for ref in planned.model.tensors.values())
    if problems:
        raise ModelbuildError(problems)
    planned_targets = {name: _target(graph, models, name, root) for name in targets}
    _distinct(graph, planned_targets, checkpoints, cache)
    for name in targets:
        named = [key for key in CODE_KEYS if key in models[name].config]
        warnings += [f"`{name}` leaves out {', '.join(named)} of config.json: code is not carried"] if named else []
    live = _live(ref for target in planned_targets.values() for ref in target.tensors.values())
    casts = [
        ref
        for target in planned_targets.values()
        for name, ref in target.tensors.items()
        if isinstance(ref, Action) and ref is not models[target.name].tensors[name]
    ]
    actions = tuple(action for action in (*own, *casts) if action in live)
    return Plan(graph, checkpoints, models, planned_targets, actions, aliased, tuple(equal), tuple(warnings))


_PLANNERS = {MIXTURE: plan_mixture, EXTRACTION: plan_extraction, COMBINATION: plan_combination}
"""What plans a node that is no merge of tensors, by its method."""


def _live(refs: Iterable[Ref]) -> set[Action]:
    """Return the actions that some tensors rest on: of a node that is sliced, the layers that are taken and no others."""
    live: set[Action] = set()
    waiting = [ref for ref in refs if isinstance(ref, Action)]
    while waiting:
        action = waiting.pop()
        if action not in live:
            live.add(action)
            waiting += [need for need in action.needs if isinstance(need, Action)]
    return live


def _target(graph: Graph, models: Mapping[str, Model], name: str, root: Path) -> Target:
    merge, model = graph.nodes[name].merge, models[name]
    output = merge.output
    tensors = {tensor: _cast(name, tensor, ref, merge) for tensor, ref in model.tensors.items()}
    sizes = {tensor: ref.nbytes for tensor, ref in tensors.items()}
    handed_on = frozenset(tensor for tensor, ref in tensors.items() if isinstance(ref, Leaf) or ref.node not in (name, cast_node(name)))
    groups = layout.shards(sizes, model.anatomy, output.shard_size) if output.shard_size else layout.packs(sizes, model.anatomy, handed_on)
    config = without_code(with_dtype(model.config, _common_dtype(tensors.values()))) if model.config else {}
    if model.adapter:
        files = {layout.ADAPTER: tuple(name for group in groups for name in group)}
    else:
        files = dict(zip(layout.file_names(len(groups)), groups, strict=True))
    return Target(
        name,
        tensors,
        files,
        not output.shard_size,
        not output.shard_size and merge.keep,
        root / (output.path or f"out/{name}"),
        config,
        model.files,
    )


def cast_node(name: str) -> str:
    """Return what the casts of a target's output are called, beside the actions of its merge."""
    return f"{name} (output)"


def _cast(name: str, tensor: str, ref: Ref, merge: Merge) -> Ref:
    """Round a second time where the output's type differs from the node's."""
    dtype = merge.output.dtype
    if not dtype or ref.dtype == dtype or ref.dtype not in ARITHMETIC:
        return ref
    return rounded(cast_node(name), tensor, ref, dtype, lenient=merge.lenient)


def _common_dtype(refs: Iterable[Ref]) -> str:
    """Return the type that most bytes have."""
    held: dict[str, int] = {}
    for ref in refs:
        held[ref.dtype] = held.get(ref.dtype, 0) + ref.nbytes
    return max(held, key=lambda dtype: held[dtype]) if held else ""


def _distinct(graph: Graph, targets: Mapping[str, Target], checkpoints: Mapping[str, Checkpoint], cache: Path) -> None:
    """Refuse outputs that would replace a source, the cache or each other."""
    whole = {real(file.parent): one.name for one in checkpoints.values() for file in one.weights}
    single = {real(file): one.name for one in checkpoints.values() for file in one.weights}
    taken = {path: f"source `{name}`" for path, name in (whole | single).items()}
    apart = {real(cache): "the cache"}
    held: dict[Path, str] = {}  # what a directory is or has in it
    for other, who in (taken | apart).items():
        for directory in (other, *other.parents):
            held.setdefault(directory, who)
    for target in targets.values():
        path, at = real(target.path), ("merge", target.name, "output", "path")
        over, within = held.get(path), next((apart[directory] for directory in path.parents if directory in apart), None)
        if over or within:
            what = f"the output of `{target.name}` would {'overwrite' if over else 'lie within'} {over or within}"
            raise ModelbuildError(
                graph.modelfile.locator.problem(what, at, facts=(str(path),), hint="choose another `output.path`"), Exit.USAGE
            )
        apart[path] = f"the output of `{target.name}`"
        for directory in (path, *path.parents):
            held.setdefault(directory, apart[path])

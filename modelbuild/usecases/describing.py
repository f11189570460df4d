"""The model card of a target: what it is, what it was made of and how, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.engine.choosing import assign, identity
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Noted, Report, Warned
from modelbuild.lockfile import Lock, LockedSource
from modelbuild.plan import Plan
from modelbuild.sources.asking import Address
from modelbuild.sources.hub import HubFolder, is_hub, parse_address
from modelbuild.usecases import cardtext, locking
from modelbuild.usecases.cardfacts import CardFacts, Parent
from modelbuild.usecases.graphing import GraphNode, GraphView, graph_of
from modelbuild.usecases.judging import judge_plan, read_sources, root_of
from modelbuild.usecases.licences import joined, licence_of
from modelbuild.usecases.project import Project
from modelbuild.usecases.published import CARD, recipe_of, refuse_private
from modelbuild.usecases.recorded import Recorded, recorded
from modelbuild.usecases.where import Where


def card(where: Where, target: str, report: Report, *, to: str, output: Path | None, recipe: bool) -> str:
    """See `modelbuild.usecases.card`."""
    project = Project.open(where)
    target = project.target(target)
    address = destination(project, target, to)
    plan = project.plan((target,))
    checks = _recorded(project, plan, target)
    text = written(project, plan, target, address, project.lock, report, alone=recipe, checks=checks)
    if project.lock is None:
        report(Noted("there is no lock yet: what is published holds one, which `push` writes"))
    if output is not None:
        try:
            files.write_new(output, text.encode())
        except FileExistsError:
            problem = Problem(f"`{output}` exists already", hint="name another file, or remove it")
            raise ModelbuildError(problem, Exit.USAGE) from None
    return text


def _recorded(project: Project, plan: Plan, target: str) -> tuple[Recorded, ...]:
    cache = project.cache()
    sources = SourceFiles(cache)
    try:
        root = _locked_root(project, plan, target) or _known_root(plan, cache, sources, target)
        return recorded(project, plan, cache, sources, target, root)
    finally:
        sources.remember()
        sources.close()
        cache.close()


def _locked_root(project: Project, plan: Plan, target: str) -> str:
    """Return the digest that the lock has of a target, "" where it has none, or was made of another Modelfile."""
    locked = project.lock.merges if project.lock else {}
    same = all(name in locked and locked[name].graph == locking.graph_of(plan, name) for name in project.graph.upstream((target,)))
    return locked[target].root if same else ""


def _known_root(plan: Plan, cache: Cache, sources: SourceFiles, target: str) -> str:
    """Return the digest that records have of a target as the Modelfile is now, "" where it has not been built so."""
    read_sources(plan, cache, sources)
    judged = judge_plan(plan, cache, sources, identity(assign("auto", plan.actions), plan.actions))
    return root_of(plan.targets[target], lambda ref: judged.digest(ref, sources))


def destination(project: Project, target: str, to: str) -> Address | None:
    """Return where a target is published: what the command line says, else the Modelfile, else None."""
    if to:
        return parse_address(to, "`--to` is")
    push = project.modelfile.merges[target].output.push
    return parse_address(push, "`push` is") if push else None


def written(
    project: Project,
    plan: Plan,
    target: str,
    address: Address | None,
    lock: Lock | None,
    report: Report,
    *,
    alone: bool = False,
    checks: tuple[Recorded, ...] = (),
) -> str:
    """Return the text of a target's card, and tell of its licences.

    Args:
        project: the Modelfile.
        plan: of the target.
        target: the merge.
        address: where it is published, if that is known.
        lock: as it is published, or None.
        report: told of licences that pull apart.
        alone: whether the recipe is published without weights.
        checks: results that are known of the target.

    Raises:
        ModelbuildError: exit 8 if it would say what is this machine's alone.

    """
    facts = facts_of(project, plan, target, address, lock, checks, alone=alone)
    for warning in facts.licence.warnings:
        report(Warned(f"licences: {warning}"))
    text = cardtext.text(facts)
    refuse_private(text, CARD, project.where.root)
    return text


def facts_of(
    project: Project, plan: Plan, target: str, address: Address | None, lock: Lock | None, checks: tuple[Recorded, ...], *, alone: bool
) -> CardFacts:
    """Gather what a card says."""
    held = lock or Lock()
    parents = tuple(_parent(project, plan, name, held.sources.get(name)) for name in project.modelfile.read if name in plan.checkpoints)
    planned = plan.targets[target]
    nodes = project.graph.upstream((target,))
    return CardFacts(
        target,
        address.repo if address else "",
        address.revision if address and address.revision != "main" else "",
        parents,
        joined([(one.name, one.licence) for one in parents]),
        _public(graph_of(project, (target,)), {one.name: one for one in parents}),
        tuple(project.modelfile.merges[name] for name in nodes),
        planned.config,
        plan.models[target].adapter,
        not {"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"}.isdisjoint(planned.along.held),
        len(planned.tensors),
        sum(ref.nbytes for ref in planned.tensors.values()),
        tuple(sorted({ref.dtype for ref in planned.tensors.values()})),
        held.root_of(target),
        recipe_of(project, target, held),
        lock is not None,
        project.where.imports or _was_imported(project.where.file),
        alone,
        checks,
    )


def _was_imported(file: Path) -> bool:
    """Tell whether a Modelfile was written by `modelbuild import`, by its first line."""
    return file.read_bytes()[:40].decode("utf-8-sig", "replace").startswith("# Imported from ")


def _parent(project: Project, plan: Plan, name: str, locked: LockedSource | None) -> Parent:
    location, folder = project.modelfile.read[name].location, plan.checkpoints[name].folder
    repo = parse_address(location).repo if is_hub(location) else ""
    commit = folder.commit if isinstance(folder, HubFolder) else locked.commit if locked and repo else ""
    root = locked.root if locked else ""
    if locked and not root and locked.files:
        root = max(locked.files.values(), key=lambda file: file.size).sha256
    return Parent(name, repo, commit, root, licence_of(plan.checkpoints[name]))


def _public(view: GraphView, parents: Mapping[str, Parent]) -> GraphView:
    """Return the graph with sources called by what they are to everyone."""

    def shown(node: GraphNode) -> GraphNode:
        one = parents.get(node.name)
        if node.kind != "source" or one is None:
            return node
        return replace(node, label=one.repo or (f"local, {one.root[:12]}" if one.root else "local"))

    return GraphView(tuple(map(shown, view.nodes)))

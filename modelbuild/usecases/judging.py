"""What a build would find: every action of a plan judged against the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from modelbuild.cache import Cache
from modelbuild.cache.outputs import OutputTable
from modelbuild.digest import merkle_root
from modelbuild.engine.drawing import Drawing
from modelbuild.engine.publish import content_of, is_here
from modelbuild.engine.sources import SourceFiles
from modelbuild.plan import Action, Leaf, Plan, Ref, Target
from modelbuild.stale import Fresh, Judgement, Pending, judge


class Judged(Struct, frozen=True):
    """A plan judged.

    Args:
        judgements: of every action.
        running: the actions that may run: those that are not fresh, and those whose bytes are needed and gone; of doubles all.
        writing: the weight files that have to be written, by (target, file name).
        exact: whether all judgements are final: none waits for another.

    """

    judgements: Mapping[Action, Judgement]
    running: frozenset[Action]
    writing: frozenset[tuple[str, str]]
    exact: bool

    def digest(self, ref: Ref, sources: SourceFiles) -> str:
        """Return a tensor's digest if it is known without computing, else ""."""
        if isinstance(ref, Leaf):
            return sources.known(ref)
        judgement = self.judgements.get(ref)
        return judgement.digest if isinstance(judgement, Fresh) else ""


def judge_plan(plan: Plan, cache: Cache, sources: SourceFiles, device: str, *, force: bool = False) -> Judged:
    """Judge a plan without reading a tensor."""
    cache.packs.ensure_indexed()
    judgements = judge(plan.actions, sources.known, lambda key: cache.records.digest(key) or "", device, force=force)

    def digest(ref: Ref) -> str:
        judgement = sources.known(ref) if isinstance(ref, Leaf) else judgements[ref]
        return judgement if isinstance(judgement, str) else judgement.digest if isinstance(judgement, Fresh) else ""

    running = {action for action, judgement in judgements.items() if not isinstance(judgement, Fresh)}
    writing = frozenset((target.name, file) for target in plan.targets.values() for file in files_to_write(target, digest, cache))
    wanted = {ref for target, file in writing for ref in map(plan.targets[target].tensors.__getitem__, plan.targets[target].files[file])}
    for action in reversed(plan.actions):
        if action in wanted and action not in running and not cache.packs.locate(digest(action), action.dtype, action.shape):
            running.add(action)
        if action in running:
            wanted.update(action.needs)
            if action in plan.doubles:
                running.add(plan.doubles[action])
    exact = not any(isinstance(judgement, Pending) for judgement in judgements.values())
    return Judged(judgements, frozenset(running), writing, exact)


def read_sources(plan: Plan, cache: Cache, sources: SourceFiles) -> None:
    """Digest what is not known of the sources of targets that were built: files that were young when they were read."""
    outputs = OutputTable(cache.index)
    if any(outputs.names(target.path) for target in plan.targets.values()):
        refs = [need for action in plan.actions for need in action.needs]
        refs += [ref for target in plan.targets.values() for ref in target.tensors.values()]
        for leaf in {ref for ref in refs if isinstance(ref, Leaf)}:
            if leaf.info.path.exists():
                sources.digest(leaf)


def root_of(target: Target, digest: Callable[[Ref], str]) -> str:
    """Return the Merkle root over the tensors of a target, or "" where one of them is not known."""
    digests = {name: digest(ref) for name, ref in target.tensors.items()}
    if not all(digests.values()):
        return ""
    return merkle_root((name, ref.dtype, ref.shape, digests[name]) for name, ref in target.tensors.items())


def copies(plan: Plan, judged: Judged, drawn: Drawing) -> Iterator[Ref]:
    """Yield the tensors that may be copied into files of targets, because no action of the build writes them there."""
    for file in judged.writing:
        for name in plan.targets[file[0]].files[file[1]]:
            ref = plan.targets[file[0]].tensors[name]
            if not drawn.has(plan.first(ref), file):
                yield ref


def files_to_write(target: Target, digest: Callable[[Ref], str], cache: Cache) -> tuple[str, ...]:
    """Return the weight files of a target whose bytes a build needs: none if its output stands, else those that no pack is.

    Args:
        target: what is built.
        digest: of a tensor, "" where only the build will tell.
        cache: knows outputs and packs.

    """
    if not is_here(target) or not any(all(digest(target.tensors[name]) for name in names) for names in target.files.values()):
        return tuple(target.files)  # nothing more can be said of any of them
    content = content_of(target, digest)
    if all(content.weights.values()) and OutputTable(cache.index).stands(target.path, content.identity, content.names):
        return ()
    return tuple(file for file, pack in content.weights.items() if not (target.kept and pack and cache.packs.has(pack)))

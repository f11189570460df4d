"""A build written into the log: what was asked for, what came of it, and what it takes to make its outputs again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

import modelbuild
from modelbuild.cache import Cache
from modelbuild.cache.builds import Builds, PastBuild, PastOutput, PastSource, digest_of, named
from modelbuild.cache.layout import write_json
from modelbuild.digest import merkle_root
from modelbuild.engine.publish import Content
from modelbuild.engine.sources import SourceFiles
from modelbuild.plan import Leaf, Plan, Ref, Step, Survey, Target
from modelbuild.schedule import chain
from modelbuild.sources.hub import HubFolder
from modelbuild.usecases.outcome import Outcome
from modelbuild.usecases.project import Project
from modelbuild.usecases.recipe import flat


class Asked(Struct, frozen=True):
    """What a build was asked for.

    Args:
        started: seconds since 1970.
        targets: as named.
        texts: the bytes of the Modelfile, or of each configuration.
        lock: those of the lock after the build, or b"".
        device: what computed.

    """

    started: float
    targets: tuple[str, ...]
    texts: tuple[bytes, ...]
    lock: bytes
    device: str


def record(
    project: Project, plan: Plan, cache: Cache, sources: SourceFiles, asked: Asked, outcome: Outcome, contents: Mapping[str, Content]
) -> None:
    """Add a build to the log of its project, unless it found everything as it should be.

    Args:
        project: the Modelfile.
        plan: of it.
        cache: where the log is.
        sources: which know the digests of what was read.
        asked: what it was asked for.
        outcome: what came of it.
        contents: what each output holds that could be told, by target.

    """
    if not outcome.problems and not outcome.actions.run and all(target.state == "fresh" for target in outcome.targets):
        return
    recipe = write_json(flat(project.modelfile.document)).encode()
    build = PastBuild(
        "",
        asked.started,
        outcome.seconds,
        modelbuild.__version__,
        asked.device,
        asked.targets,
        project.where.overrides,
        tuple((str(path), digest_of(text)) for path, text in zip(project.where.files, asked.texts, strict=True)),
        digest_of(recipe),
        digest_of(asked.lock),
        outcome.actions.total,
        outcome.actions.run,
        outcome.bytes.read,
        outcome.bytes.written,
        outcome.bytes.linked,
        tuple(problem.what for problem in outcome.problems),
        tuple(_outputs(plan, outcome, contents, sources)),
        {
            name: PastSource(project.modelfile.read[name].location, commit_of(checkpoint.folder))
            for name, checkpoint in plan.checkpoints.items()
        },
        {action.method.name: action.method.revision for action in plan.actions if not isinstance(action, Survey | Step)},
    )
    small = [data for content in contents.values() for data in content.small.values()]
    Builds(cache.index, project.where.file).remember(replace(build, id=named(build)), [*asked.texts, recipe, asked.lock, *small])


def _outputs(plan: Plan, outcome: Outcome, contents: Mapping[str, Content], sources: SourceFiles) -> Iterator[PastOutput]:
    for one in outcome.targets:
        content, target = contents.get(one.name), plan.targets[one.name]
        if content is None or one.state == "failed":
            yield PastOutput(one.name, one.path, one.state)
        else:
            small = {name: digest_of(data) for name, data in content.small.items()}
            under = leaves_under(target)
            yield PastOutput(
                one.name,
                one.path,
                one.state,
                content.identity,
                content.root,
                target.kept,
                dict(content.weights),
                small,
                {source: root_of(leaves, sources) for source, leaves in under.items()},
                {source: scope_of(leaves) for source, leaves in under.items()},
            )


def scope_of(leaves: Sequence[Leaf]) -> str:
    """Return the digest of the names of some tensors."""
    return digest_of("\n".join(sorted(leaf.info.name for leaf in leaves)).encode())


def leaves_under(target: Target) -> dict[str, list[Leaf]]:
    """Return the tensors of sources that a target rests on, by source."""
    refs: dict[Ref, None] = dict.fromkeys(target.tensors.values())
    refs |= dict.fromkeys(need for action in chain(*target.tensors.values()) for need in action.needs)
    found: dict[str, list[Leaf]] = {}
    for ref in refs:
        if isinstance(ref, Leaf):
            found.setdefault(ref.source, []).append(ref)
    return found


def commit_of(folder: object) -> str:
    """Return the commit that a source on a hub is of, "" of any other."""
    return folder.commit if isinstance(folder, HubFolder) else ""


def root_of(leaves: Sequence[Leaf], sources: SourceFiles) -> str:
    """Return the Merkle root of some tensors of a source; "" where they have not all been read."""
    digests = [sources.known(leaf) for leaf in leaves]
    if not leaves or not all(digests):
        return ""
    return merkle_root((leaf.info.name, leaf.dtype, leaf.shape, digest) for leaf, digest in zip(leaves, digests, strict=True))

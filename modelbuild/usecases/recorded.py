"""What is known of a target's checks by records alone: nothing is built, fetched or measured for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from modelbuild.cache import Cache
from modelbuild.checks.intervals import Interval, interval
from modelbuild.checks.loading import Subject
from modelbuild.checks.measured import Measured, from_json
from modelbuild.checks.measures import Measure, prepare
from modelbuild.checks.verdicts import judge
from modelbuild.digest import merkle_root
from modelbuild.engine.choosing import choose
from modelbuild.engine.publish import read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import ModelbuildError
from modelbuild.modelfile.evaluation import Check
from modelbuild.plan import Leaf, Plan
from modelbuild.reading import read_small
from modelbuild.usecases.project import Project
from modelbuild.usecases.subjects import digest_of, output_at
from modelbuild.usecases.testing import checks_of, others_of, parents_of


class Recorded(Struct, frozen=True):
    """What a check of a target came to.

    Args:
        name: of the check.
        said: the verdict in words.
        passed: None where it has no bound, and has neither passed nor failed.
        scores: of the target, and of the models that it was made of as far as they are recorded; none where the check gives none.

    """

    name: str
    said: tuple[str, ...]
    passed: bool | None
    scores: tuple[tuple[str, Interval], ...] = ()


def recorded(
    project: Project, plan: Plan, cache: Cache, sources: SourceFiles, target: str, root: str, device: str = "auto"
) -> tuple[Recorded, ...]:
    """Return what the checks of a target came to, those of which everything is recorded: of its output, as it stands.

    Args:
        project: the Modelfile.
        plan: of the target.
        cache: has the records.
        sources: the source files of the plan, whose digests are known as far as they are; none is read.
        target: the merge.
        root: over the tensors that its output should have; "" where that is not known.
        device: as `--device` names it, that models were measured on.

    """
    path = plan.targets[target].path
    if not root or read_manifest(path).root != root:
        return ()
    try:
        own = output_at(target, path)
    except OSError:  # the output is not whole: its checks are none of what is told
        return ()
    checks, chosen = checks_of(project.modelfile, target), choose(device)
    known = (_result(project, plan, cache, sources, check, own, chosen) for check in checks)
    return tuple(one for one in known if one)


def _result(project: Project, plan: Plan, cache: Cache, sources: SourceFiles, check: Check, own: Subject, device: str) -> Recorded | None:
    try:
        measure = prepare(check, project.where.root, device)
    except ModelbuildError:  # a file that it reads is gone, and with it what is known
        return None
    needed, parents = others_of(project, check, own.name), parents_of(project, check, own.name)
    asked = dict.fromkeys([*needed, *(parents if check.is_scored else ())])
    found = _found(cache, measure, {own.name: own, **_others(plan, sources, asked, own.path)})
    if not found.keys() >= {own.name, *needed}:
        return None
    verdict = judge(check, found[own.name], found.__getitem__, parents if check.needs_parents else ())
    scores = tuple((name, interval(found[name])) for name in (own.name, *asked) if name in found and found[name].parts)
    return Recorded(check.name, verdict.said, None if verdict.state == "measured" else verdict.state == "passed", scores)


def _found(cache: Cache, measure: Measure, subjects: Mapping[str, Subject]) -> dict[str, Measured]:
    keys = {name: measure.key(subject) for name, subject in subjects.items()}
    stored = cache.measurements.get_many(keys.values())
    return {name: measured for name, key in keys.items() if (measured := from_json(stored.get(key)))}


def _others(plan: Plan, sources: SourceFiles, names: Iterable[str], stand_in: Path) -> dict[str, Subject]:
    """Return sources as far as their digests are known, none of which is to be loaded from where it is said to stand."""
    found: dict[str, Subject] = {}
    for name in names:
        checkpoint = plan.checkpoints.get(name)
        if checkpoint is None or not all(path.is_file() for path in checkpoint.carried.values()):
            continue
        leaves = [(info.name, info.dtype, info.shape, sources.known(Leaf(name, info))) for info in checkpoint.tensors.values()]
        if all(digest for *_, digest in leaves):
            along = {file: read_small(path) for file, path in checkpoint.carried.items()}
            found[name] = Subject(name, stand_in, digest_of(merkle_root(leaves), along))
    return found

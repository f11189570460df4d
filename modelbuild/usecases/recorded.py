"""What is known of a target's checks by records alone: nothing is built, fetched or measured for it."""

from __future__ import annotations

from collections.abc import Mapping

from modelbuild.cache import Cache
from modelbuild.checks.loading import Subject
from modelbuild.checks.measured import Measured, from_json
from modelbuild.checks.measures import Measure, prepare
from modelbuild.checks.verdicts import judge
from modelbuild.digest import merkle_root
from modelbuild.engine.devices import choose
from modelbuild.engine.publish import read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import ModelbuildError
from modelbuild.lockfile import Lock
from modelbuild.modelfile.evaluation import Check
from modelbuild.plan import Leaf, Plan
from modelbuild.reading import read_small
from modelbuild.usecases.cardfacts import Checked
from modelbuild.usecases.project import Project
from modelbuild.usecases.subjects import digest_of, output_at
from modelbuild.usecases.testing import checks_of, others_of, parents_of


def recorded(project: Project, plan: Plan, target: str, lock: Lock | None) -> tuple[Checked, ...]:
    """Return what the checks of a target came to, those of which everything is recorded: of the locked output, as it stands.

    Args:
        project: the Modelfile.
        plan: of the target.
        target: the merge.
        lock: says what its output is, or None.

    """
    locked = lock.merges.get(target) if lock else None
    path = plan.targets[target].path
    if locked is None or not locked.root or read_manifest(path).root != locked.root:
        return ()
    cache = project.cache()
    try:
        own, device = output_at(target, path), choose("auto")
        known = (_result(project, plan, cache, check, own, device) for check in checks_of(project.modelfile, target))
        return tuple(one for one in known if one)
    except OSError:  # the output is not whole: its checks are none of what is told
        return ()
    finally:
        cache.close()


def _result(project: Project, plan: Plan, cache: Cache, check: Check, own: Subject, device: str) -> Checked | None:
    try:
        measure = prepare(check, project.where.root, device)
    except ModelbuildError:  # a file that it reads is gone, and with it what is known
        return None
    subjects = {own.name: own, **_others(project, plan, cache, check, own.name)}
    found = _found(cache, measure, subjects)
    others = others_of(project, check, own.name)
    if not found.keys() >= {own.name, *others}:
        return None
    verdict = judge(check, found[own.name], found.__getitem__, parents_of(project, check, own.name) if check.needs_parents else ())
    return Checked(check.name, "; ".join(verdict.said), None if verdict.state == "measured" else verdict.state == "passed")


def _found(cache: Cache, measure: Measure, subjects: Mapping[str, Subject]) -> dict[str, Measured]:
    keys = {name: measure.key(subject) for name, subject in subjects.items()}
    stored = cache.measurements.get_many(keys.values())
    return {name: measured for name, key in keys.items() if (measured := from_json(stored.get(key)))}


def _others(project: Project, plan: Plan, cache: Cache, check: Check, target: str) -> dict[str, Subject]:
    """Return the sources that a check holds a target against, as far as their digests are known; merges are not among them."""
    found: dict[str, Subject] = {}
    sources = SourceFiles(cache)
    try:
        for name in others_of(project, check, target):
            checkpoint = plan.checkpoints.get(name)
            if checkpoint is None or not all(path.is_file() for path in checkpoint.carried.values()):
                continue
            leaves = [(info.name, info.dtype, info.shape, sources.known(Leaf(name, info))) for info in checkpoint.tensors.values()]
            if all(digest for *_, digest in leaves):
                along = {file: read_small(path) for file, path in checkpoint.carried.items()}
                found[name] = Subject(name, plan.targets[target].path, digest_of(merkle_root(leaves), along))
    finally:
        sources.close()
    return found

"""What of a target is not as it was: of its recipe since the last build, and of its output against what would be published now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

from modelbuild.cache.builds import Builds, PastBuild, PastOutput
from modelbuild.cache.layout import parse_json
from modelbuild.engine.publish import MANIFEST, content_of, is_here, read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.plan import Plan, Target
from modelbuild.reading import parse_object
from modelbuild.stale import Change
from modelbuild.usecases.recipe import Recipe, flat, moved, resting_on, within
from modelbuild.usecases.recording import commit_of, leaves_under, root_of, scope_of
from modelbuild.usecases.view import View

_INDEX = "model.safetensors.index.json"


def recipe_changes(view: View, target: str) -> tuple[str, tuple[Change, ...]]:
    """Return the id of the last build of a target, and what of its recipe, and of the sources it reads, has changed since."""
    log = Builds(view.cache.index, view.project.where.file)
    build = log.last_of(target)
    if build is None:
        return "", ()
    now, before = flat(view.project.modelfile.document), recipe_in(log, build)
    told = moved(within(before, resting_on(before, target)), within(now, resting_on(now, target))) if before else ()
    return build.id, (*told, *source_changes(build, view.plan, target, view.sources))


def recipe_in(log: Builds, build: PastBuild) -> Recipe:
    """Return the recipe of a build that was recorded; {} where it is lost."""
    table = parse_json(log.file(build.recipe) or b"null")
    return {key: str(value) for key, value in table.items()} if isinstance(table, dict) else {}


def source_changes(past: PastBuild, plan: Plan, target: str, sources: SourceFiles) -> Iterator[Change]:
    """Yield what changed of the sources themselves since a build: their commits, and the tensors that a target reads of them."""
    output = output_of(past, target)
    for name, leaves in leaves_under(plan.targets[target]).items():
        before, commit = past.sources.get(name), commit_of(plan.checkpoints[name].folder)
        if before is None or output is None:
            continue
        if before.commit != commit:
            yield Change(f"source {name} (commit)", before.commit, commit)
        old, new = output.read.get(name, ""), root_of(leaves, sources)
        if old and old != new and output.scope.get(name) == scope_of(leaves):
            unread = sorted({leaf.info.path.name for leaf in leaves if not sources.known(leaf)})
            yield Change(f"source {name} (tensors)", old, new or f"not read since {', '.join(unread[:3])} changed")


def method_changes(past: PastBuild, plan: Plan) -> Iterator[Change]:
    """Yield methods that are of another revision than they were."""
    now = {action.method.name: action.method.revision for action in plan.actions}
    for name, revision in past.methods.items():
        if now.get(name, revision) != revision:
            yield Change(f"method {name} (revision)", str(revision), str(now[name]))


NOT_THERE = "not there"
"""What a change says of a path at which nothing stands."""


def is_absent(changes: Sequence[Change], target: Target) -> bool:
    """Tell whether what changed of an output is that nothing stands at its path."""
    return [(change.field, change.new) for change in changes] == [(str(target.path), NOT_THERE)]


def output_changes(view: View, target: Target) -> tuple[Change, ...]:
    """Return what stands at an output's path otherwise than it would be published now; not the weights themselves."""
    path, table = target.path, view.forecast.outputs
    published = table.names(path)
    if not os.path.lexists(path):
        return (Change(str(path), "published" if published else "not published", NOT_THERE),)
    touched = tuple(Change(str(path / name), "as published", told) for name in published if (told := table.touched(path, name)))
    if touched or not published:
        return touched or (Change(str(path), "", "not published from this cache"),)
    return tuple(_unlike(view, target)) if is_here(target) else ()


def _unlike(view: View, target: Target) -> Iterator[Change]:
    """Yield how the files of an output that stands as published differ from those that would be published."""
    content = content_of(target, view.digest)
    held = {entry.name for entry in target.path.iterdir()}
    was, known = read_manifest(target.path).root, all(view.digest(ref) for ref in target.tensors.values())
    if known and was != content.root:
        made = Builds(view.cache.index, view.project.where.file).all()
        by = next((f" (of build {one.id})" for one in made for output in one.outputs if output.root == was != ""), "")
        yield Change("tensors (root)", f"{was}{by}", content.root)
    before, after = sorted(name for name in held if name.endswith(".safetensors")), sorted(content.weights)
    if before != after:
        yield Change("weight files", _files(before), _files(after))
    for name in sorted({*content.small, *held} - {*before, *after, MANIFEST, _INDEX}):
        yield from file_changes(name, _bytes(target.path / name), content.small.get(name))


def file_changes(name: str, old: bytes | None, new: bytes | None) -> Iterator[Change]:
    """Yield how a small file differs: a JSON object key by key, anything else by digest; None is a file that is not there."""
    if old == new:
        return
    tables = [_object(data) for data in (old, new)] if name.endswith("config.json") else []
    told = moved(*map(flat, tables)) if tables and all(tables) else ()
    if told:
        yield from (Change(f"{name}: {change.field}", change.old, change.new) for change in told)
    else:
        yield Change(name, _digest(old), _digest(new))


def _object(data: bytes | None) -> dict[str, Any]:
    """Read a JSON object; {} where it is none, or is not there."""
    try:
        return parse_object(data) if data is not None else {}
    except ValueError:
        return {}


def _files(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files"


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _digest(data: bytes | None) -> str:
    return "" if data is None else blake3(data).hexdigest()


def output_of(build: PastBuild, target: str) -> PastOutput | None:
    """Return what a build left of a target, or None."""
    return next((output for output in build.outputs if output.name == target and output.identity), None)

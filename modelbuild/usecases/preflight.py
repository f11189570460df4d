"""What can be told before work begins: whether there is room for what will certainly be written, and permission to write it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from modelbuild.cache.layout import PACKS, STAGING
from modelbuild.engine.drawing import Drawing
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import human_bytes
from modelbuild.plan import Action, Plan
from modelbuild.stale import Stale
from modelbuild.usecases.judging import Judged


def certain(judged: Judged, *, forced: bool) -> frozenset[Action]:
    """Return the actions that are sure to run.

    Args:
        judged: the plan; what waits there for another action may come out as it was.
        forced: nothing is taken from records, or there are none.

    """
    return (
        judged.running if forced else frozenset(action for action, judgement in judged.judgements.items() if isinstance(judgement, Stale))
    )


def refuse_doomed(plan: Plan, drawn: Drawing, running: frozenset[Action], cache: Path, exports: Mapping[Path, int]) -> None:
    """Refuse a build that would run out of room, or find a place that it may not write to.

    Args:
        plan: what is built.
        drawn: where results go.
        running: the actions that are sure to run.
        cache: its directory.
        exports: the bytes of exports that are sure to be made, by the directory that they go to.

    Raises:
        ModelbuildError: exit 6, with what is needed and what there is.

    """
    written = {where for action in running for where, _ in drawn.places.get(action, ())}
    needed: dict[Path, int] = {}
    if written:
        sizes = [drawn.kept[where] if isinstance(where, int) else drawn.targets[where] for where in written]
        needed = {cache: sum(layout.size for layout in sizes), cache / PACKS: 0, cache / STAGING: 0}
        targets = dict.fromkeys(where[0] for where in written if not isinstance(where, int))
        for target in (plan.targets[name] for name in targets):
            needed[target.path.parent] = 0 if _device(target.path.parent) == _device(cache) else _size_of_copies(target.name, drawn)
    refuse_without_room({path: needed.get(path, 0) + exports.get(path, 0) for path in (*needed, *exports)})


def refuse_without_room(needed: Mapping[Path, int]) -> None:
    """Refuse to write so many bytes to directories where there are fewer, or to any at all where nothing can be made.

    Raises:
        ModelbuildError: exit 6, with what is needed and what there is.

    """
    problems = [*_not_permitted(needed), *_too_little(needed)]
    if problems:
        raise ModelbuildError(problems, Exit.LOCAL_IO)


def free_space(path: Path) -> int:
    """Return the bytes that may still be written where a directory is, or will be made."""
    status = os.statvfs(_standing(path))
    return status.f_bavail * status.f_frsize


def _too_little(needed: Mapping[Path, int]) -> Iterable[Problem]:
    """Yield a problem for each file system that is too small for all that is to be written to it."""
    together: dict[int, tuple[Path, int]] = {}
    for path, nbytes in needed.items():
        first, before = together.get(_device(path), (path, 0))
        together[_device(path)] = first, before + nbytes
    for path, nbytes in together.values():
        free = free_space(path)
        if nbytes > free:
            yield Problem(
                "there is too little space for this build",
                facts=(f"{human_bytes(nbytes)} needed at least, {human_bytes(free)} free at {path}",),
                hint="make room, with `modelbuild cache gc` for one, or put the cache elsewhere with `[cache] path`",
            )


def _not_permitted(paths: Iterable[Path]) -> Iterable[Problem]:
    """Yield a problem for each directory in which nothing can be made."""
    for path in dict.fromkeys(_standing(path) for path in paths):
        if not path.is_dir():
            yield Problem(f"`{path}` is no directory", facts=("one is needed there to be written to",), hint="move it away")
        elif not os.access(path, os.W_OK | os.X_OK):
            read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
            fact = "its file system is mounted read-only" if read_only else "this user may not make files in it"
            yield Problem(f"`{path}` cannot be written to", facts=(fact,), hint="correct the permissions, or choose another place")


def _size_of_copies(target: str, drawn: Drawing) -> int:
    """Return the bytes of a target's weight files, where they cannot be links to packs."""
    return sum(layout.size for (name, _), layout in drawn.targets.items() if name == target)


def _device(path: Path) -> int:
    return _standing(path).stat().st_dev


def _standing(path: Path) -> Path:
    """Return the nearest directory above that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path

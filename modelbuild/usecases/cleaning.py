"""Outputs removed: those that modelbuild made, and the stamps of their builds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.cache.layout import parse_json
from modelbuild.cache.outputs import OutputTable
from modelbuild.engine.publish import MANIFEST, refuse_foreign
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.graph.targets import meant
from modelbuild.modelfile.model import Modelfile
from modelbuild.names import real
from modelbuild.reading import read_small
from modelbuild.sources.hub import is_hub
from modelbuild.usecases.environment import environment_path
from modelbuild.usecases.placing import forget, refuse_foreign_export
from modelbuild.usecases.where import Where, modelfile_at


class RemovedOutput(Struct, frozen=True):
    """An output directory that is gone; `nbytes` is the size of its files, which the cache may share."""

    target: str
    path: str
    files: int
    nbytes: int


class Cleaned(Struct, frozen=True):
    """What `clean` removed: outputs, and stamps of builds that had written them; `absent` names targets without an output."""

    removed: tuple[RemovedOutput, ...]
    absent: tuple[str, ...]
    stamps: int


def clean(where: Where, targets: Sequence[str] = ()) -> Cleaned:
    """See `modelbuild.usecases.clean`."""
    modelfile = modelfile_at(where)
    outputs = outputs_of(where, modelfile, targets)
    named = meant(modelfile, targets) if targets else modelfile.exports
    exports = {name: where.root / modelfile.exports[name].place for name in named if name in modelfile.exports}
    for path in (*outputs.values(), *exports.values()):
        files.recover(path)
    present = {name: path for name, path in outputs.items() if path.is_symlink() or path.exists()}
    cache = Cache.open(where.cache_directory(modelfile.cache.path))
    try:
        table = OutputTable(cache.index)
        _refuse(where, modelfile, present, table)
        for path in exports.values():
            refuse_foreign_export(path, table.names(path))
        present = {name: path for name, path in present.items() if (path / MANIFEST).is_file()}
        delivered = {name: path for name, path in exports.items() if path.exists()}
        stamps = _remove_stamps(cache.stamps, (*present.values(), *delivered.values()))
        removed = tuple(_remove_output(cache, name, path) for name, path in (present | delivered).items())
        for path in exports.values():
            forget(path)
    finally:
        cache.close()
    return Cleaned(removed, tuple(name for name in outputs if name not in present), stamps)


def outputs_of(where: Where, modelfile: Modelfile, targets: Sequence[str] = ()) -> dict[str, Path]:
    """Return the output directories of those targets that are merges, or of every merge where none is named.

    Raises:
        ModelbuildError: exit 2 if a word means neither a merge nor an export.

    """
    merges = modelfile.merges
    named = meant(modelfile, targets) if targets else merges
    return {name: where.root / (merges[name].output.path or f"out/{name}") for name in named if name in merges}


def _refuse(where: Where, modelfile: Modelfile, outputs: dict[str, Path], published: OutputTable) -> None:
    """Refuse, before anything is removed, what modelbuild did not make and what a source stands in.

    Raises:
        ModelbuildError: exit 8, with every refusal.

    """
    problems: list[Problem] = []
    sources = {name: real(where.root / source.location) for name, source in modelfile.sources.items() if not is_hub(source.location)}
    for path in outputs.values():
        own = real(path)
        inside = [name for name, source in sources.items() if own == source or own in source.parents]
        if inside:
            problems.append(
                Problem(
                    f"`{path}` is not removed: it is source `{inside[0]}`",
                    hint="a source is never written; remove it by hand, if it is to go",
                )
            )
            continue
        try:
            refuse_foreign(path, published.names(path))
        except ModelbuildError as error:
            problems += (
                Problem(one.what, one.at, one.place, one.facts, "move them away: the directory is removed as a whole")
                for one in error.problems
            )
    if problems:
        raise ModelbuildError(problems, Exit.UNSAFE)


def _remove_output(cache: Cache, target: str, path: Path) -> RemovedOutput:
    """Remove one output, or export; the packs it shares stay, and are known again although losing a link moved their times."""
    sizes = [entry.lstat().st_size for entry in (path.iterdir() if path.is_dir() else (path,))]
    packs = tuple(pack for pack in OutputTable(cache.index).packs(path) if cache.packs.trusted(pack))
    # One rename takes it from its name: there never stands a part of it.
    aside = path.with_name(f".{path.name}.modelbuild-{files.random_name()}")
    files.rename(path, aside)
    files.sync_directory(path.parent)
    files.remove_tree(aside)
    files.remove_tree(environment_path(path))
    for pack in packs:
        cache.packs.refresh(pack)
    return RemovedOutput(target, str(path), len(sizes), sum(sizes))


def _remove_stamps(directory: Path, outputs: Iterable[Path]) -> int:
    """Remove the stamps of builds that wrote one of these outputs, and return how many."""
    gone = {real(path) for path in outputs}
    removed = 0
    for path in sorted(directory.glob("*.json")) if gone else ():
        match parse_json(read_small(path)):
            case {"outputs": dict(written)} if any(Path(name) in gone or Path(name).parent in gone for name in written):
                files.unlink(path)
                removed += 1
    return removed

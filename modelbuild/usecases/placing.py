"""What stands where an export goes: whose it is, which can be told without the cache, and how another takes its place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from blake3 import blake3

from modelbuild import files
from modelbuild.cache.outputs import Stats, stats_of
from modelbuild.checkpoint.config import json_text
from modelbuild.engine.publish import MANIFEST, refuse_foreign
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.modelfile.model import Export
from modelbuild.names import real
from modelbuild.reading import is_regular, parse_object, read_small
from modelbuild.sources.hub import is_hub
from modelbuild.usecases.project import Project

_MAGIC, _OURS = b"GGUF", b"modelbuild.root"
_CHUNK = 1 << 23


def receipt_path(path: Path) -> Path:
    """Return where it is noted that the file at `path` is modelbuild's, where the file itself does not say so."""
    return path.with_name(f"{path.name}.{MANIFEST}")


def place(staged: Path, path: Path, root: str) -> Stats:
    """Put what was made at its name, where stood the old or nothing.

    Whose it is, is on disk before it has its name: in a directory as its manifest, in a file of GGUF's in its first bytes, of any
    other file in the receipt beside it, which until the old one is gone speaks of both.

    Args:
        staged: a directory of files or a file, its bytes synced.
        path: the name.
        root: of the tensors that it was made of.

    Returns:
        What tells whether its files are still these, by name; the name of a file by itself is "".

    """
    if staged.is_dir():
        names = sorted({*(entry.name for entry in staged.iterdir()), MANIFEST})
        manifest = staged / MANIFEST
        if manifest.exists():  # a converter copied the model's
            files.unlink(manifest)
        files.write_new(manifest, json_text({"made_by": "modelbuild", "format": 1, "root": root, "files": names, "tensors": {}}))
        stats = stats_of(staged, names)
        files.publish(staged, path)
        forget(path)
        return stats
    stats = stats_of(staged, ("",))
    if _says_it_is_ours(staged):
        files.publish(staged, path)
        forget(path)
        return stats
    digest = _digest(staged)
    _note(path, root, (digest, *(_noted(path) or ())))
    files.publish(staged, path)
    with contextlib.suppress(OSError):  # it then speaks of what is gone, too
        _note(path, root, (digest,))
    return stats


def forget(path: Path) -> None:
    """Remove the receipt of what no longer stands at `path`; one that stays does no harm."""
    with contextlib.suppress(OSError):
        files.remove_tree(receipt_path(path))


def refuse_overlaps(project: Project, exports: Sequence[Export]) -> None:
    """Refuse exports that would replace a source, the cache, an output or each other.

    Raises:
        ModelbuildError: exit 2.

    """
    where, modelfile = project.where, project.modelfile
    sources = [source for source in modelfile.read.values() if not is_hub(source.location)]
    read = {real(where.root / source.location): f"source `{source.name}`" for source in sources}
    read[real(where.file)] = "the Modelfile"
    taken = {real(project.cache_directory): "the cache"}
    outputs = {name: merge.output.path or f"out/{name}" for name, merge in modelfile.merges.items()}
    taken |= {real(where.root / path): f"the output of `{name}`" for name, path in outputs.items()}
    for export in exports:
        path = real(where.root / export.place)
        over = [who for other, who in (read | taken).items() if path == other or path in other.parents]
        within = [who for other, who in taken.items() if other in path.parents]
        if over or within:
            what = f"the export `{export.name}` would {'overwrite' if over else 'lie within'} {(over or within)[0]}"
            raise ModelbuildError(modelfile.locator.problem(what, (*export.path, "path"), facts=(str(path),), hint="choose another `path`"))
        taken[path] = f"the export `{export.name}`"


def refuse_foreign_export(path: Path, known: Collection[str]) -> None:
    """Refuse to replace what modelbuild did not make.

    Args:
        path: where an export stands, or is to stand.
        known: the files that are known to have been published there.

    Raises:
        ModelbuildError: exit 8.

    """
    if path.is_dir() or path.is_symlink() or not path.exists():
        refuse_foreign(path, known)
    elif "" not in known and not (is_regular(path) and (_says_it_is_ours(path) or _is_noted(path))):
        raise _foreign(path, "an export is to be written there")
    if "" not in known and os.path.lexists(receipt_path(path)) and _noted(path) is None:
        raise _foreign(receipt_path(path), f"modelbuild notes there what it made of {path}")


def _foreign(path: Path, fact: str) -> ModelbuildError:
    return ModelbuildError(Problem(f"`{path}` is a file that modelbuild did not write", facts=(fact,), hint="move it away"), Exit.UNSAFE)


def _says_it_is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096)
    return start.startswith(_MAGIC) and _OURS in start


def _is_noted(path: Path) -> bool:
    noted = _noted(path)
    return bool(noted) and _digest(path) in (noted or ())


def _noted(path: Path) -> tuple[str, ...] | None:
    """Return the digests in the receipt of a file; None where there is none that is sound."""
    try:
        table = parse_object(read_small(receipt_path(path)))
    except (OSError, ValueError):
        return None
    match table:
        case {"made_by": "modelbuild", "digests": list(digests)}:
            return tuple(map(str, digests))
    return None


def _note(path: Path, root: str, digests: tuple[str, ...]) -> None:
    """Write the receipt of a file, on disk when this returns."""
    told = tuple(dict.fromkeys(digests))
    if told != _noted(path):
        table = {"made_by": "modelbuild", "format": 1, "root": root, "files": [path.name], "digests": told}
        files.write_atomic(receipt_path(path), json_text(table))


def _digest(path: Path) -> str:
    hasher = blake3()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()

"""Outputs: complete directories that replace the old ones in one step."""

from __future__ import annotations

import contextlib
import glob
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from blake3 import blake3
from msgspec import Struct, field

from modelbuild import files
from modelbuild.cache import TensorEntry, pack_id
from modelbuild.cache.outputs import Stats, stats_of
from modelbuild.checkpoint.config import CODE_KEYS, json_text, without_code
from modelbuild.checkpoint.header import lay_out
from modelbuild.digest import KEY_FORMAT, encode, merkle_root
from modelbuild.errors import Exit, ModelbuildError, Problem, some
from modelbuild.names import is_file_name
from modelbuild.plan import Ref, Target
from modelbuild.plan.layout import index_json
from modelbuild.reading import parse_object, read_small

STAGED = ".modelbuild-"
"""In the hidden names of what is put together, after the output's and before eight digits."""

_CONFIGS = ("_config.json", "_map.json", "chat_template.json")
"""How files are called that may name code, beside config.json."""

_LARGEST_MANIFEST = 1 << 28

MANIFEST = "modelbuild.json"
"""In every output directory: says that modelbuild made it, and which files are its own."""


class Content(Struct, frozen=True):
    """What an output directory is to hold.

    Args:
        weights: the id of the pack that each weight file is, by file name.
        small: the bytes of every other file, by name, manifest included.
        root: Merkle root of its tensors.

    """

    weights: Mapping[str, str]
    small: Mapping[str, bytes]
    root: str

    @property
    def names(self) -> tuple[str, ...]:
        """All file names."""
        return (*self.weights, *self.small)

    @property
    def identity(self) -> str:
        """Digest of it all."""
        small = tuple((name, blake3(data).hexdigest()) for name, data in sorted(self.small.items()))
        return blake3(encode(("output", KEY_FORMAT, tuple(sorted(self.weights.items())), small))).hexdigest()


def is_here(target: Target) -> bool:
    """Tell whether the files that go along are on this machine: those of a source on the hub may have to be fetched first."""
    return all(path.exists() for path in target.along.carried.values())


def content_of(target: Target, digest: Callable[[Ref], str]) -> Content:
    """Say what a target's directory is to hold: config edited as JSON, everything else that is no weight as bytes.

    Args:
        target: what is written.
        digest: of each of its tensors; where one is "", its file's identity is "" too.

    """
    weights = {file: _pack_of(target, names, digest) for file, names in target.files.items()}
    tensors = {name: digest(ref) for name, ref in target.tensors.items()}
    root = merkle_root((name, ref.dtype, ref.shape, tensors[name]) for name, ref in target.tensors.items())
    small = {name: _without_code(name, read_small(path)) for name, path in target.along.carried.items() if name != "config.json"}
    small |= {name: written() for name, written in target.along.written.items()}
    if target.config:
        carried = target.along.carried
        original = read_small(carried["config.json"]) if "config.json" in carried else b"null"
        same = json.loads(original) == target.config
        small["config.json"] = original if same else json_text(target.config)
    if len(target.files) > 1:
        small["model.safetensors.index.json"] = index_json(
            tuple(target.files.items()), {name: ref.nbytes for name, ref in target.tensors.items()}
        )
    listed = sorted([*small, *target.files, MANIFEST])
    told = {name: known or "0" * len(root) for name, known in sorted(tensors.items())}  # of one length, for a forecast counts bytes
    manifest = {"made_by": "modelbuild", "format": 1, "root": root, "files": listed, "tensors": told}
    small[MANIFEST] = json_text(manifest)
    return Content(weights, small, root)


def _without_code(name: str, data: bytes) -> bytes:
    """Return a file that goes along as it is, unless it names code to be run."""
    if not name.endswith(_CONFIGS) or not (b"\\u" in data or any(key.encode() in data for key in CODE_KEYS)):
        return data
    try:
        table = parse_object(data)
    except ValueError:
        return data
    changed = without_code(table)
    return data if changed == table else json_text(changed)


def _pack_of(target: Target, names: Sequence[str], digest: Callable[[Ref], str]) -> str:
    layout = lay_out([(name, target.tensors[name].dtype, target.tensors[name].shape) for name in names])
    entries = tuple(TensorEntry(name, dtype, shape, digest(target.tensors[name])) for name, dtype, shape in layout.tensors)
    return pack_id(entries) if all(entry.digest for entry in entries) else ""


class Manifest(Struct, frozen=True):
    """What an output says of itself: Merkle root, file names, and the digest of each tensor by name."""

    root: str = ""
    files: tuple[str, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the output at `path`; an empty one where there is none that is sound."""
    return manifest_in(path / MANIFEST)


def manifest_in(file: Path) -> Manifest:
    """Read a manifest; an empty one where there is none that is sound."""
    try:
        table = parse_object(read_small(file, _LARGEST_MANIFEST))
        files_in = tuple(name for name in map(str, table["files"]) if is_file_name(name))
        return Manifest(str(table.get("root", "")), files_in, dict(table.get("tensors", {})))
    except (OSError, ValueError, KeyError, TypeError):
        return Manifest()


def refuse_foreign(path: Path, known: Collection[str] = ()) -> None:
    """Refuse to replace what modelbuild did not make.

    Args:
        path: an output, or where one is to be.
        known: files that are known to have been published there, whatever has become of the manifest.

    Raises:
        ModelbuildError: exit 8 if something else stands at `path`, or files that are not modelbuild's stand in it.

    """
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_dir():
        raise ModelbuildError(
            Problem(
                f"`{path}` is no directory",
                facts=("an output is to be written there",),
                hint="move it away, or choose another `output.path`",
            ),
            Exit.UNSAFE,
        )
    own = {*read_manifest(path).files, *known}
    foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in own)
    if foreign:
        raise ModelbuildError(
            Problem(
                f"`{path}` holds files that modelbuild did not write",
                facts=(some(foreign),),
                hint="move them away: the directory is replaced as a whole",
            ),
            Exit.UNSAFE,
        )


def publish(path: Path, weights: Mapping[str, Path], small: Mapping[str, bytes]) -> tuple[int, int, Stats]:
    """Put an output together beside `path`, and exchange it with what stands there.

    Args:
        path: the output directory.
        weights: the file that each weight file is a link to (a copy where the file system cannot link), by file name.
        small: the bytes of the other files, by name.

    Returns:
        The bytes written, the bytes linked, and what tells whether the files are still these.

    """
    written = linked = 0
    files.make_directory(path.parent, durable=True)
    files.recover(path)
    sweep(path)
    staged = path.parent / f".{path.name}{STAGED}{files.random_name()}"
    files.make_directory(staged)
    try:
        for name, source in weights.items():
            size = source.stat().st_size
            if files.link_as(source, staged / name) == "copy":
                written += size
            else:
                linked += size
        for name, data in small.items():
            files.write_new(staged / name, data)
            written += len(data)
        stats = stats_of(staged, (*weights, *small))
        files.publish(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):  # of two errors the first one tells
            files.remove_tree(staged)
        raise
    return written, linked, stats


def sweep(path: Path) -> None:
    """Remove what builds that died left beside an output: what they put together, or replaced, so long ago that nobody works on it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}{STAGED}*"):
        with contextlib.suppress(OSError):
            if time.time() - _last_change(left) > files.UNFINISHED_SECONDS:
                files.remove_tree(left)


def _last_change(left: Path) -> float:
    """Return when a directory, or a file in it, was last written to; links to packs say nothing of it."""
    within = [one.lstat() for one in left.iterdir()] if left.is_dir() and not left.is_symlink() else []
    return max([left.lstat().st_mtime, *(status.st_mtime for status in within if status.st_nlink == 1)])

"""Checkpoints: a folder of files, wherever it is, becomes headers, bytes' places and the files that go along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from modelbuild.checkpoint.adapter import CONFIG as ADAPTER_CONFIG
from modelbuild.checkpoint.anatomy import Anatomy, dissect
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import human_bytes, is_file_name, plain
from modelbuild.reading import SMALL, Unfit, parse_object, read_small

CARRIED = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
"""What goes along with the weights, by name.  Code (`*.py`) never does."""

TOKENIZER_FILES = frozenset(CARRIED[4:])
"""Those of them that `tokenizer = { source = … }` chooses."""

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

PICKLES = (".bin", ".pt", ".pth")
"""How pickled weights are called."""


class Folder(Protocol):
    """The files of a model: here, or on a hub that hands them out one by one."""

    @property
    def place(self) -> str:
        """How people call it."""

    def names(self) -> tuple[str, ...]:
        """Return the names of its files, sorted."""

    def path(self, name: str) -> Path:
        """Return where a file lies, or will once it is fetched."""

    def astray(self, name: str) -> str:
        """Return where a file really lies that is a link out of the folder, or ""."""

    def header(self, name: str) -> tuple[TensorInfo, ...]:
        """Read the header of a weight file; nothing else of it has to be here."""

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON object."""


class Checkpoint(Struct, frozen=True, eq=False, dict=True):
    """A checkpoint that can be read.

    Args:
        name: the source's name in the Modelfile.
        tensors: by name.
        weights: the safetensors files.
        carried: the other files that belong to the model, by file name.
        config: config.json, or {} where there is none.
        folder: where all of this comes from.
        origins: files that the weights were made from, and that nothing else reads.

    """

    name: str
    tensors: Mapping[str, TensorInfo]
    weights: tuple[Path, ...]
    carried: Mapping[str, Path]
    config: Mapping[str, Any]
    folder: Folder
    origins: tuple[Path, ...] = ()

    @cached_property
    def anatomy(self) -> Anatomy:
        """Its stack of layers."""
        return dissect(self.tensors, self.config)


def read_checkpoint(name: str, folder: Folder, along: Sequence[str] = CARRIED) -> Checkpoint:
    """Read the headers and the config.json of a folder; the files `along` belong to it.

    Raises:
        ModelbuildError: exit 5 where something is missing or malformed, 8 where only pickles are there.

    """
    held = folder.names()
    refuse_astray(name, folder, [INDEX, *along])
    weights = _weights(name, folder, held)
    for file in (file for file in weights if not file.isprintable()):
        raise _broken(name, f"the name of `{plain(file)}` cannot be shown")
    refuse_astray(name, folder, weights)
    tensors: dict[str, TensorInfo] = {}
    for file in weights:
        for info in folder.header(file):
            if info.name in tensors:
                raise _broken(name, f"`{info.name}` stands in both {tensors[info.name].path.name} and {file}")
            tensors[info.name] = info
    if ADAPTER_CONFIG in held and "config.json" not in held:
        along = (ADAPTER_CONFIG,)
    carried = {file: folder.path(file) for file in along if file in held}
    for file, path in carried.items():
        if path.exists() and (size := path.stat().st_size) > SMALL:  # of a source on the hub it may have to be fetched first
            raise _broken(name, f"`{file}` has {human_bytes(size)}, and none of its kind has more than {human_bytes(SMALL)}")
    config = folder.json("config.json") if "config.json" in carried else {}
    return Checkpoint(name, tensors, tuple(map(folder.path, weights)), carried, config, folder)


def _weights(name: str, folder: Folder, held: tuple[str, ...]) -> tuple[str, ...]:
    if SINGLE in held:
        return (SINGLE,)
    if INDEX in held:
        return _shards(name, folder, held)
    found = [file for file in held if file.endswith(".safetensors") and "/" not in file]
    if len(found) == 1:
        return (found[0],)
    if found:
        raise _broken(name, f"{folder.place} holds {len(found)} safetensors files and no {INDEX} that says what they are")
    pickles = [file for file in held if file.endswith(PICKLES) and "/" not in file]
    if pickles:
        raise ModelbuildError(
            Problem(
                f"source `{name}` holds pickles, which run code when they are read",
                facts=(f"{folder.place} holds {', '.join(pickles[:3])}",),
                hint='convert it to safetensors, or write `pickles = "weights_only"` beside `from` if it lies here',
            ),
            Exit.UNSAFE,
        )
    other = [file for file in held if file.endswith(".gguf")]
    if other:
        facts = (
            f"{folder.place} holds {', '.join(other[:3])}",
            "its weights are quantised, and lie in another order than those of the model",
        )
        hint = "name the safetensors model that it was made from"
        raise ModelbuildError(
            Problem(f"source `{name}` is a GGUF file, which is for running, not for merging", facts=facts, hint=hint), Exit.SOURCE
        )
    raise ModelbuildError(
        Problem(f"source `{name}` holds no safetensors file", facts=(f"looked in {folder.place}",), hint="point `from` at a model"),
        Exit.SOURCE,
    )


def refuse_astray(name: str, folder: Folder, wanted: Sequence[str]) -> None:
    """Refuse files that are links to elsewhere: what comes with a model must not choose what else is read, and published.

    Raises:
        ModelbuildError: exit 8.

    """
    facts = tuple(f"`{file}` is a link to {where}" for file in wanted if (where := folder.astray(file)))
    if facts:
        hint = "name the directory that the files are in, or put the files themselves here: hard links and copies do"
        raise ModelbuildError(Problem(f"source `{name}` has links out of its directory", facts=facts[:4], hint=hint), Exit.UNSAFE)


def _shards(name: str, folder: Folder, held: tuple[str, ...]) -> tuple[str, ...]:
    table = folder.json(INDEX).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(file, str) for file in table.values()):
        raise _broken(name, f"{folder.path(INDEX)} has no weight_map")
    files = tuple(sorted(set(table.values())))
    outside = next((file for file in files if not is_file_name(file)), None)
    if outside is not None:
        raise ModelbuildError(
            Problem(
                f"source `{name}` names a shard outside its directory", facts=(f"{INDEX} says `{plain(outside)}`",), hint="repair the index"
            ),
            Exit.UNSAFE,
        )
    refuse_missing(name, INDEX, files, held)
    return files


def refuse_missing(name: str, index: str, files: Sequence[str], held: Sequence[str]) -> None:
    """Refuse a source whose index names files that it does not hold.

    Raises:
        ModelbuildError: exit 5.

    """
    missing = [file for file in files if file not in held]
    if missing:
        raise _broken(name, f"{index} names {', '.join(map(plain, missing[:3]))}, which {'is' if len(missing) == 1 else 'are'} not there")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelbuildError: exit 5 if the file is no JSON object.

    """
    try:
        return parse_object(read_small(path))
    except (Unfit, ValueError) as error:
        raise ModelbuildError(
            Problem(f"`{path}` cannot be read", facts=(str(error),), hint="download or copy it again"), Exit.SOURCE
        ) from None


def _broken(name: str, fact: str) -> ModelbuildError:
    return ModelbuildError(Problem(f"source `{name}` is incomplete", facts=(fact,), hint="download or copy it again"), Exit.SOURCE)

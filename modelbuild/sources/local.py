"""Local sources: a directory with safetensors files, sharded or not, or a single file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modelbuild.checkpoint.anatomy import Anatomy, dissect
from modelbuild.checkpoint.header import TensorInfo, read_header
from modelbuild.errors import Exit, ModelbuildError, Problem

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

_MAX_JSON = 64_000_000


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can be read.

    Args:
        name: the source's name in the Modelfile.
        tensors: by name.
        weights: the safetensors files.
        carried: the other files that belong to the model, by file name.
        config: config.json, or {} where there is none.

    """

    name: str
    tensors: Mapping[str, TensorInfo]
    weights: tuple[Path, ...]
    carried: Mapping[str, Path]
    config: Mapping[str, Any]

    @cached_property
    def anatomy(self) -> Anatomy:
        """Its stack of layers."""
        return dissect(self.tensors, self.config)


def open_checkpoint(name: str, path: Path) -> Checkpoint:
    """Open the checkpoint at `path`, reading headers and config.json only.

    Raises:
        ModelbuildError: exit 5 where something is missing or malformed, 8 where only pickles are there.

    """
    if path.is_dir():
        weights = _weights(name, path)
        carried = {file: path / file for file in CARRIED if (path / file).is_file()}
    elif path.is_file():
        weights, carried = (path,), {}
    else:
        raise ModelbuildError(
            Problem(f"source `{name}` is missing", facts=(f"nothing is at {path}",), hint="correct `from`, or put the model there"),
            Exit.SOURCE,
        )
    tensors: dict[str, TensorInfo] = {}
    for file in weights:
        for info in read_header(file):
            if info.name in tensors:
                raise _broken(name, f"`{info.name}` stands in both {tensors[info.name].path.name} and {file.name}")
            tensors[info.name] = info
    config = read_json(carried["config.json"]) if "config.json" in carried else {}
    return Checkpoint(name, tensors, weights, carried, config)


def _weights(name: str, directory: Path) -> tuple[Path, ...]:
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        return _shards(name, directory, index)
    found = sorted(directory.glob("*.safetensors"))
    if len(found) == 1:
        return (found[0],)
    if found:
        raise _broken(name, f"{directory} holds {len(found)} safetensors files and no model.safetensors.index.json that says what they are")
    pickles = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in directory.glob(pattern))
    if pickles:
        raise ModelbuildError(
            Problem(
                f"source `{name}` holds pickles, which run code when they are read",
                facts=(f"{directory} holds {', '.join(pickles[:3])}",),
                hint="convert it to safetensors first",
            ),
            Exit.UNSAFE,
        )
    raise ModelbuildError(
        Problem(
            f"source `{name}` holds no safetensors file", facts=(f"looked in {directory}",), hint="point `from` at a model's directory"
        ),
        Exit.SOURCE,
    )


def _shards(name: str, directory: Path, index: Path) -> tuple[Path, ...]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(file, str) for file in table.values()):
        raise _broken(name, f"{index} has no weight_map")
    files = sorted(set(table.values()))
    outside = next((file for file in files if Path(file).name != file or file in (".", "..")), None)
    if outside is not None:
        raise ModelbuildError(
            Problem(
                f"source `{name}` names a shard outside its directory", facts=(f"{index.name} says `{outside}`",), hint="repair the index"
            ),
            Exit.UNSAFE,
        )
    missing = [file for file in files if not (directory / file).is_file()]
    if missing:
        raise _broken(name, f"{index.name} names {', '.join(missing[:3])}, which {'is' if len(missing) == 1 else 'are'} not there")
    return tuple(directory / file for file in files)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelbuildError: exit 5 if the file is no JSON object.

    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError(f"it is larger than {_MAX_JSON} bytes")
        table = json.loads(path.read_bytes())
        if not isinstance(table, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004 - like any other fault of the file
    except (ValueError, RecursionError) as error:
        raise ModelbuildError(
            Problem(f"`{path}` cannot be read", facts=(str(error),), hint="download or copy it again"), Exit.SOURCE
        ) from None
    return table


def _broken(name: str, fact: str) -> ModelbuildError:
    return ModelbuildError(Problem(f"source `{name}` is incomplete", facts=(fact,), hint="download or copy it again"), Exit.SOURCE)

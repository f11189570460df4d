"""Pickled weights, where a source opts in to them: read by a child process that builds nothing but tensors, and kept as safetensors.

A pickle can name any function and have it called.  `weights_only` restricts torch to tensors and containers; the child process
is there for what may be wrong in that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3
from msgspec import Struct

from modelbuild import files
from modelbuild.cache.layout import CONVERTED, prepare
from modelbuild.checkpoint.header import TensorInfo, lay_out, read_header
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.sources.checkpoint import PICKLES, SINGLE, read_json, refuse_astray, refuse_missing
from modelbuild.sources.local import LocalFolder, astray

_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_INDEX = "pytorch_model.bin.index.json"


class ConvertedFolder(Struct, frozen=True):
    """A directory whose pickles are read as the safetensors file that they became."""

    directory: Path
    weights: Path

    @property
    def place(self) -> str:
        """The path."""
        return str(self.directory)

    def names(self) -> tuple[str, ...]:
        """Return the names of its files, sorted; the weights are in one."""
        own = (entry.name for entry in self.directory.iterdir() if entry.is_file() and not entry.name.endswith((*PICKLES, _INDEX)))
        return tuple(sorted({*own, SINGLE}))

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return self.weights if name == SINGLE else self.directory / name

    def astray(self, name: str) -> str:
        """Return where a file really lies that is a link out of the directory, or ""."""
        return "" if name == SINGLE else astray(self.directory, name)

    def header(self, name: str) -> tuple[TensorInfo, ...]:
        """Read the header of the weights."""
        return read_header(self.path(name))

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON object."""
        return read_json(self.path(name))


def pickles(directory: Path) -> tuple[Path, ...]:
    """Return the pickles that hold a model's weights: those that the index names, else what is called like them."""
    index = directory / _INDEX
    if index.is_file():
        named = read_json(index).get("weight_map")
        listed = sorted({name for name in named.values() if isinstance(name, str)}) if isinstance(named, dict) else []
        return tuple(directory / name for name in listed if Path(name).name == name)
    known = [directory / name for name in ("pytorch_model.bin", "adapter_model.bin", "model.pt", "model.pth")]
    return tuple(path for path in known if path.is_file())[:1] or tuple(sorted(directory.glob("*.bin")))


def converted(name: str, directory: Path, cache: Path) -> ConvertedFolder:
    """Convert a directory's pickles, unless that was done, and return it with what they became.

    Raises:
        ModelbuildError: exit 8 if a pickle holds more than tensors, 5 if there is none or it cannot be read.

    """
    found = pickles(directory)
    if not found:
        problem = Problem(f"source `{name}` holds no weights", facts=(f"looked in {directory}",), hint="point `from` at a model")
        raise ModelbuildError(problem, Exit.SOURCE)
    refuse_missing(name, _INDEX, [path.name for path in found], [path.name for path in found if path.is_file()])
    refuse_astray(name, LocalFolder(directory), [path.name for path in found])
    stats = [(str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns) for path in found for status in [path.stat()]]
    weights = cache / CONVERTED / blake3(json.dumps(stats).encode()).hexdigest()[:32] / SINGLE
    if not weights.is_file():
        prepare(cache)
        files.make_directory(cache / CONVERTED)
        files.make_directory(weights.parent)
        command = [sys.executable, "-P", "-m", __name__, str(weights), *map(str, found)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this program
        if child.returncode:
            raise _refused(name, found, child.stderr)
    return ConvertedFolder(directory, weights)


def _refused(name: str, found: Iterable[Path], said: str) -> ModelbuildError:
    lines = [line for line in said.strip().splitlines() if line.strip()] or ["the process that reads it died"]
    unsafe = "UnpicklingError" in said or "Unsupported" in said
    listed = ", ".join(path.name for path in found)
    what = f"source `{name}` holds pickles of more than tensors" if unsafe else f"source `{name}` holds pickles that cannot be read"
    fact = next((line for line in lines if "Unsupported" in line or "UnpicklingError" in line), lines[-1]).strip()
    hint = "convert it to safetensors where you trust it"
    return ModelbuildError(Problem(what, facts=(listed, fact[:300]), hint=hint), Exit.UNSAFE if unsafe else Exit.SOURCE)


def main(out: Path, sources: Iterable[Path]) -> None:
    """Convert: what the child process does."""
    import torch

    tensors: dict[str, Any] = {}
    for path in sources:
        held = torch.load(path, map_location="cpu", weights_only=True)
        table = held.get("state_dict", held) if isinstance(held, Mapping) else held
        if not isinstance(table, Mapping) or not all(isinstance(value, torch.Tensor) for value in table.values()):
            raise TypeError(f"{path.name} is no table of tensors")
        tensors |= table
    layout = lay_out([(name, _CODES[str(tensor.dtype).partition(".")[2]], tuple(tensor.shape)) for name, tensor in tensors.items()])
    unfinished = out.with_name(f"{files.random_name()}.unfinished")
    fd = files.open_sparse(unfinished, layout.size)
    files.write_at(fd, unfinished, layout.header, 0)
    for (name, _, _), offset in zip(layout.tensors, layout.offsets, strict=True):
        raw = tensors[name].detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        files.write_at(fd, unfinished, memoryview(raw), offset)
    files.sync(fd, unfinished)
    files.rename(unfinished, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), map(Path, sys.argv[2:]))

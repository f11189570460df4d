"""What is exported: a model as it is planned, of which everything but the values is known, and as it stands on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.checkpoint.header import TensorInfo, read_header
from modelbuild.digest import tensor_hasher
from modelbuild.engine.publish import MANIFEST, read_manifest
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.plan import Target
from modelbuild.reading import parse_object, read_small

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 1 << 20
"""Elements that are converted at a time."""

WEIGHTS = ".safetensors"
INDEX = "model.safetensors.index.json"


class Foreseen(Struct, frozen=True):
    """What can be told of an export before it is made: the bytes that it will have at least, and what is to be said of it."""

    nbytes: int = 0
    warnings: tuple[str, ...] = ()


class Unexportable(Exception):
    """A model that has no place in a form: what is wrong, the facts, one way out, and the key of the export at fault."""

    def __init__(self, what: str, *facts: str, hint: str = "", key: str = "format") -> None:
        """Carry the words to who knows where the export is declared."""
        super().__init__(what)
        self.what, self.facts, self.hint, self.key = what, facts, hint, key


class Subject(Struct, frozen=True, dict=True):
    """A model without its values.

    Args:
        config: config.json.
        tensors: type and shape by name.
        small: the files beside the weights, by name.

    """

    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    small: Mapping[str, bytes]

    @classmethod
    def planned(cls, target: Target) -> Subject:
        """Return what a target will be; the files that go along have to be here."""
        small = {name: read_small(path) for name, path in target.along.carried.items() if path.exists()}
        small |= {name: written() for name, written in target.along.written.items()}
        return cls(target.config, {name: (ref.dtype, ref.shape) for name, ref in target.tensors.items()}, small)

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON object beside the weights; {} where there is none."""
        if name not in self.small:
            return {}
        try:
            return parse_object(self.small[name])
        except ValueError as error:
            raise Unexportable(f"`{name}` cannot be read", str(error), hint="copy or download the model again", key="of") from None


def _go_on() -> None:
    """Let reading go on."""


class Standing(Struct, frozen=True, dict=True):
    """An output as it stands.

    Args:
        path: its directory.
        subject: everything but the values.
        infos: where each tensor lies.
        digests: of each tensor, as it was published.
        check: called between chunks; raises to stop.

    """

    path: Path
    subject: Subject
    infos: Mapping[str, TensorInfo]
    digests: Mapping[str, str]
    check: Callable[[], None] = _go_on

    @classmethod
    def at(cls, path: Path, check: Callable[[], None] = _go_on) -> Standing:
        """Open the output at `path`."""
        manifest = read_manifest(path)
        infos = {info.name: info for name in manifest.files if name.endswith(WEIGHTS) for info in read_header(path / name)}
        small = {name: read_small(path / name) for name in manifest.files if is_beside(name)}
        config = parse_object(small["config.json"]) if "config.json" in small else {}
        subject = Subject(config, {name: (info.dtype, info.shape) for name, info in infos.items()}, small)
        return cls(path, subject, infos, manifest.tensors, check)

    def rows(self, name: str, width: int, step: int = 1) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield a tensor as float32 rows of `width`, each time with the number of the first, a multiple of `step` rows at a time.

        Raises:
            ModelbuildError: exit 4 if the tensor is not what was published.

        """
        for start, raw in self.raw(name, max(1, CHUNK // (width * step)) * width * step):
            yield start // width, widened(raw, self.infos[name].dtype).reshape(-1, width)

    def raw(self, name: str, most: int = CHUNK) -> Iterator[tuple[int, bytes]]:
        """Yield the bytes of a tensor, at most `most` elements at a time, each time with the number of the first element."""
        info = self.infos[name]
        hasher, size = tensor_hasher(info.dtype, info.shape), SIZES[info.dtype]
        fd = os.open(info.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for start in range(0, prod(info.shape), most):
                self.check()
                count = min(most, prod(info.shape) - start) * size
                data = _read(fd, info.offset + start * size, count)
                hasher.update(data)
                if len(data) < count:
                    break
                yield start, data
        finally:
            os.close(fd)
        if hasher.hexdigest() != self.digests.get(name):
            hint = "`modelbuild verify --full` says what else; `modelbuild build --force` makes it again"
            raise ModelbuildError(Problem(f"`{name}` in {info.path} is not what was published there", hint=hint), Exit.DIGEST)


def is_beside(name: str) -> bool:
    """Tell whether a file of an output goes along with the weights, and is what an export may rest on."""
    return not name.endswith(WEIGHTS) and name not in (MANIFEST, INDEX)


def _read(fd: int, offset: int, count: int) -> bytes:
    parts = []
    while count and (part := os.pread(fd, count, offset)):
        parts.append(part)
        offset, count = offset + len(part), count - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def widened(raw: bytes, dtype: str) -> NDArray[np.float32]:
    """Read stored numbers as float32."""
    import numpy as np

    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)

"""A model written with rounded weights, as safetensors files that have the names of its own; everything else goes along as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path

from msgspec import Struct

from modelbuild import files
from modelbuild.checkpoint.config import json_text
from modelbuild.checkpoint.dtypes import nbytes
from modelbuild.checkpoint.header import lay_out
from modelbuild.exports.linear import linear_weights, other_modules
from modelbuild.exports.rounding import Floats, Integers, Piece, Rounding, Stored
from modelbuild.exports.subject import INDEX, Foreseen, Standing, Subject
from modelbuild.modelfile.model import Export
from modelbuild.plan.layout import index_json


def foresee(subject: Subject, export: Export) -> Foreseen:
    """Refuse what cannot be written, before any work; of the rest the tensors' bytes are known, and nothing is to be said."""
    weights = linear_weights(subject)
    rounding, linear = _rounding(subject, export, weights), frozenset(weights)
    stored = (one for name, (dtype, shape) in subject.tensors.items() for one in _stored(rounding, linear, name, dtype, shape))
    return Foreseen(sum(nbytes(dtype, shape) for _, dtype, shape in stored))


def write(standing: Standing, export: Export, path: Path) -> None:
    """Write a model with rounded weights into a new directory, synced.

    Args:
        standing: the model.
        export: how.
        path: the directory, which does not exist yet.

    """
    subject, weights = standing.subject, linear_weights(standing.subject)
    rounding, linear = _rounding(subject, export, weights), frozenset(weights)
    files.make_directory(path)
    grouped: dict[str, list[str]] = {}
    for name, info in standing.infos.items():
        grouped.setdefault(info.path.name, []).append(name)
    made = {file: _File(standing, names, linear, rounding) for file, names in grouped.items()}
    for file, one in made.items():
        one.write(path / file)
    config = {**subject.config, "quantization_config": {**rounding.told, "ignore": [*other_modules(subject, linear)]}}
    small = {**subject.small, "config.json": json_text(config)}
    if len(made) > 1:
        small[INDEX] = index([(file, one.stored) for file, one in made.items()])
    for name, data in small.items():
        files.write_new(path / name, data)


def index(held: list[tuple[str, list[Stored]]]) -> bytes:
    """Return the index of some files, of each the tensors that it holds."""
    sizes = {name: nbytes(dtype, shape) for _, stored in held for name, dtype, shape in stored}
    return index_json([(file, [name for name, _, _ in stored]) for file, stored in held], sizes)


def _rounding(subject: Subject, export: Export, linear: tuple[str, ...]) -> Rounding:
    if export.format == "fp8":
        return Floats(export.scales != "tensor")
    return Integers.fitting([subject.tensors[name][1][1] for name in linear])


def _stored(rounding: Rounding, linear: frozenset[str], name: str, dtype: str, shape: tuple[int, ...]) -> tuple[Stored, ...]:
    """Return what a tensor of the model becomes."""
    return rounding.stored(name, (shape[0], shape[1])) if name in linear else ((name, dtype, shape),)


class _File(Struct, frozen=True, dict=True):
    """A weight file to be written: tensors of the model, those of linear layers rounded."""

    standing: Standing
    names: list[str]
    linear: frozenset[str]
    rounding: Rounding

    @property
    def stored(self) -> list[Stored]:
        """What it holds."""
        tensors = self.standing.subject.tensors
        return [one for name in self.names for one in _stored(self.rounding, self.linear, name, *tensors[name])]

    def pieces(self, name: str) -> Iterator[Piece]:
        """Yield the bytes of what a tensor of the model becomes."""
        if name in self.linear:
            yield from self.rounding.pieces(self.standing, name)
            return
        info = self.standing.infos[name]
        size = info.nbytes // max(1, prod(info.shape))
        for start, raw in self.standing.raw(name):
            yield name, start * size, raw

    def write(self, path: Path) -> None:
        """Write it, synced."""
        layout = lay_out(self.stored)
        at = {name: start for (name, _, _), start in zip(layout.tensors, layout.offsets, strict=True)}
        fd = files.open_new(path)
        try:
            files.allocate(fd, path, layout.size)
            files.write_at(fd, path, layout.header, 0)
            for name in self.names:
                for tensor, start, data in self.pieces(name):
                    files.write_at(fd, path, data, at[tensor] + start)
            files.sync(fd, path)
        finally:
            os.close(fd)

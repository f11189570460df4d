"""Looking without building: show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from modelbuild.plan import Leaf, Target
from modelbuild.usecases.project import Project
from modelbuild.usecases.view import View
from modelbuild.usecases.where import Where


class ShownTensor(Struct, frozen=True):
    """One tensor of a target: where it comes from, and with which parameters.

    `key` is "" where it is handed on or cannot be known yet.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    method: str
    inputs: tuple[str, ...]
    params: Mapping[str, Any]
    key: str


class ShownTarget(Struct, frozen=True):
    """A target tensor by tensor."""

    name: str
    path: str
    files: Mapping[str, int]
    """Bytes of tensors in each weight file."""
    tensors: tuple[ShownTensor, ...]


def show(where: Where, targets: Sequence[str]) -> tuple[ShownTarget, ...]:
    """See `modelbuild.usecases.show`."""
    view = View(where, targets or (Project.open(where).target(""),))
    try:
        return tuple(_shown(view, planned) for planned in view.plan.targets.values())
    finally:
        view.close()


def _shown(view: View, planned: Target) -> ShownTarget:
    tensors = []
    for name, ref in planned.tensors.items():
        if isinstance(ref, Leaf) or ref.node not in planned.own_nodes:
            tensors.append(ShownTensor(name, ref.dtype, ref.shape, "", (ref.label,), {}, ""))
        else:
            tensors.append(
                ShownTensor(
                    name, ref.dtype, ref.shape, ref.method.name, tuple(need.label for need in ref.needs), dict(ref.params), view.key(ref)
                )
            )
    files = {file: sum(planned.tensors[name].nbytes for name in names) for file, names in planned.files.items()}
    return ShownTarget(planned.name, str(planned.path), files, tuple(tensors))

"""Looking without building: show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelbuild.build.view import View
from modelbuild.build.where import Where
from modelbuild.plan import Leaf


@dataclass(frozen=True, slots=True)
class ShownTensor:
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


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """A target tensor by tensor."""

    name: str
    path: str
    files: Mapping[str, int]
    """Bytes of tensors in each weight file."""
    tensors: tuple[ShownTensor, ...]


def show(where: Where, target: str) -> ShownTarget:
    """See `modelbuild.build.show`."""
    view = View(where, (target,) if target else ())
    target = view.project.target(target)
    planned = view.plan.targets[target]
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
    view.close()
    files = {file: sum(planned.tensors[name].nbytes for name in names) for file, names in planned.files.items()}
    return ShownTarget(target, str(planned.path), files, tuple(tensors))

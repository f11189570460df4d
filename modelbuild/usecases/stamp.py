"""The null build: a stamp says what a build looked at; where nothing of it moved, there is nothing to do.

Imports nothing heavy: this is all that runs when everything is fresh.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

import modelbuild
from modelbuild.cache.layout import STAMPS
from modelbuild.cache.outputs import stat_of
from modelbuild.names import real
from modelbuild.reading import LOCK, parse_object, read_small
from modelbuild.usecases.outcome import from_stamp
from modelbuild.usecases.where import cache_setting

if TYPE_CHECKING:
    from modelbuild.plan import Plan
    from modelbuild.usecases.delivering import Made
    from modelbuild.usecases.outcome import Outcome
    from modelbuild.usecases.where import Where

_FORMAT = 7
_RACY_NS = 2_000_000_000


def stamps_of(where: Where, text: bytes, targets: Sequence[str]) -> tuple[Path, Path]:
    """Return where the stamps of builds that are asked for in these words stand.

    One that made exports and asked no checks has another, the second, which tells nothing to a build that is to ask them.
    """
    directory = where.cache_directory(cache_setting(where, text)) / STAMPS
    named = [str(real(file)) for file in (*where.files, *([where.root] if where.imports else []))]
    words = [named, list(targets), list(where.overrides), [list(mirror) for mirror in where.mirrors]]
    checked, unchecked = (blake3(json.dumps([*words, without]).encode()).hexdigest()[:32] for without in (False, True))
    return directory / f"{checked}.json", directory / f"{unchecked}.json"


def read(path: Path) -> bytes:
    """Return the bytes of a Modelfile or a lock, or b"" where it cannot be read: without a Modelfile there is no stamp either."""
    try:
        return read_small(path, LOCK)
    except (OSError, ValueError):  # a path with a NUL is no OSError
        return b""


def fresh(path: Path, text: bytes, lock: bytes, device: str) -> dict[str, Any] | None:
    """Return the outcome that a stamp holds if nothing has moved since, else None: see `standing`."""
    stamp = standing(path, text, lock, device)
    return None if stamp is None else stamp["outcome"]


def standing(path: Path, text: bytes, lock: bytes, device: str = "auto") -> dict[str, Any] | None:
    """Return a stamp if nothing has moved since, else None.

    Args:
        path: the stamp.
        text: the Modelfile.
        lock: the lock, or b"".
        device: auto, cpu, cuda or cuda:N; what is not exact was computed on no other.

    Returns:
        At least `outcome`, and `rests_on`: how many actions each target rests on.

    """
    try:
        stamp = parse_object(read_small(path))
        current = (
            stamp.pop("check") == _check(stamp)
            and stamp["format"] == _FORMAT
            and stamp["version"] == modelbuild.__version__
            and stamp["modelfile"] == blake3(text).hexdigest()
            and stamp["lock"] == blake3(lock).hexdigest()
            and all(_source(Path(name)) == stat for name, stat in stamp["sources"].items())
            and all(stat_of(Path(name)) == stat for name, stat in stamp["outputs"].items())
            and all(_maker(form) == made for form, made in stamp["makers"].items())
            and all(_revision(*origin) == revision for *origin, revision in stamp["methods"])
            and _serves(stamp["device"], device)
        )
        from_stamp(stamp["outcome"], 0.0, 0)  # a stamp that is damaged is none
        current = current and all(type(stamp["rests_on"][target["name"]]) is int for target in stamp["outcome"]["targets"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError):
        return None
    return stamp if current else None


def leave(path: Path, text: bytes, lock: bytes, plan: Plan, outcome: Outcome, made: Made, told: str) -> None:
    """Leave a stamp after a build.

    None where a source is so young that it could change without its times moving, where a method is of no installed
    distribution, so that nothing would tell of its changing, or where another build has put its outputs in the place of these.

    Args:
        path: the stamp.
        text: the Modelfile.
        lock: the lock, or b"".
        plan: what was built.
        outcome: what came of it.
        made: the exports among it.
        told: what keys say of the device; see `modelbuild.engine.choosing.identity`.

    """
    read = [
        file
        for checkpoint in plan.checkpoints.values()
        for file in (*checkpoint.weights, *checkpoint.carried.values(), *checkpoint.origins, checkpoint.weights[0].parent)
    ]
    read += [*made.read, *(file for target in plan.targets.values() for file in target.along.origins)]
    sources = {source for source in read if source.exists()}  # of a source on the hub, what no target reads need not be here
    seen = {str(real(source)): _source(source) for source in sources}
    if time.time_ns() - max((stat[-1] for stat in seen.values()), default=0) < _RACY_NS:
        return
    from modelbuild import files
    from modelbuild.cache.layout import prepare
    from modelbuild.methods import origin
    from modelbuild.plan import Step, Survey
    from modelbuild.schedule import chain

    methods = {action.method for action in plan.actions if not isinstance(action, Survey | Step)} | {
        part.method for name in plan.graph.nodes for part in plan.graph.nodes[name].slices
    }
    origins = sorted({origin(method.name) for method in methods})
    if not all(distribution for _, distribution in origins):
        return
    try:
        outputs = [target.path / name for target in plan.targets.values() for name in sorted(entry.name for entry in target.path.iterdir())]
    except FileNotFoundError:  # somebody else is putting another in its place
        return
    stamp = {
        "format": _FORMAT,
        "version": modelbuild.__version__,
        "modelfile": blake3(text).hexdigest(),
        "lock": blake3(lock).hexdigest(),
        "sources": seen,
        "outputs": {str(real(output)): stat_of(output) for output in (*outputs, *made.outputs)},
        "makers": dict(made.makers),
        "methods": [[*origin, _revision(*origin)] for origin in origins],
        "device": told,
        "outcome": outcome.nothing_done(),
        "rests_on": {
            one.name: len(chain(*plan.targets[one.name].tensors.values())) if one.name in plan.targets else 0 for one in outcome.targets
        },
    }
    if not made.stand():
        return
    with suppress(OSError):  # without a stamp the next build looks closer
        prepare(path.parent.parent)
        files.make_directory(path.parent)
        files.replace_file(path, json.dumps(stamp | {"check": _check(stamp)}).encode())


def _check(stamp: Mapping[str, Any]) -> str:
    """Return what tells whether a stamp is still the one that was left."""
    return blake3(json.dumps(stamp, sort_keys=True).encode()).hexdigest()[:16]


def _serves(told: str, device: str) -> bool:
    """Tell whether what was computed on one device, with one version of torch, is what another device is asked for."""
    if not told:
        return True
    from importlib import metadata

    from modelbuild.engine.choosing import has_nvidia

    name, _, version = told.partition(" torch ")
    asked = {name, name.removesuffix(":0")} | ({"auto"} if (name != "cpu") == has_nvidia() else set())
    return version == metadata.version("torch") and device in asked


def _maker(form: str) -> str:
    from modelbuild.exports.forms import maker

    return maker(form)


def _source(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_dev, status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)]


@cache
def _revision(package: str, distribution: str) -> str:
    """Return what changes when a method of a package may have; none is imported."""
    if package == modelbuild.__name__:
        folder = Path(modelbuild.__file__).parent / "methods"
        return str(max(entry.stat().st_mtime_ns for entry in os.scandir(folder) if entry.name.endswith(".py")))
    from importlib import metadata

    found = find_spec(package)
    stat = stat_of(Path(found.origin)) if found and found.origin else []
    return f"{metadata.version(distribution)} {stat}"

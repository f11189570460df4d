"""What a build finds on this machine: versions, cache, devices, the Modelfile, and the hub where it is asked for."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

import modelbuild
from modelbuild import files
from modelbuild.errors import ModelbuildError
from modelbuild.names import human_bytes

if TYPE_CHECKING:
    from modelbuild.usecases.where import Where

_PACKAGES = (
    "torch",
    "numba",
    "llvmlite",
    "numpy",
    "safetensors",
    "transformers",
    "huggingface_hub",
    "blake3",
    "diskcache",
    "msgspec",
)
_MOUNTS = Path("/proc/self/mounts")

State = Literal["good", "odd", "bad"]


class Finding(Struct, frozen=True):
    """One thing that was looked at.

    Args:
        subject: environment, cache, devices, Modelfile or hub.
        name: of what.
        state: good; odd if builds work and something could be better; bad if they do not.
        value: what was found.
        hint: one way out where it is not good, or "".

    """

    subject: str
    name: str
    state: State
    value: str
    hint: str = ""


class Diagnosis(Struct, frozen=True):
    """Everything that was looked at, in order."""

    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether builds work."""
        return not any(one.state == "bad" for one in self.findings)


def diagnose(where: Where, *, hub: bool) -> Diagnosis:
    """See `modelbuild.usecases.diagnose`."""
    looks: list[Callable[[], Iterator[Finding]]] = [_environment, lambda: _cache(where), _devices, lambda: _modelfile(where)]
    if hub:
        looks.append(lambda: _hub(where))
    return Diagnosis(tuple(found for look in looks for found in look()))


def _environment() -> Iterator[Finding]:
    subject = "environment"
    yield Finding(subject, "modelbuild", "good", f"{modelbuild.__version__} in {Path(modelbuild.__file__).parent}")
    yield Finding(subject, "Python", "good", f"{platform.python_version()} at {sys.executable}")
    parts = (f"{platform.system()} {platform.release()}", platform.machine(), " ".join(platform.libc_ver()))
    yield Finding(subject, "system", "good", ", ".join(filter(None, map(str.strip, parts))))
    for package in _PACKAGES:
        try:
            yield Finding(subject, package, "good", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Finding(subject, package, "bad", "not installed", "install modelbuild again, with what it depends on")


def _cache(where: Where) -> Iterator[Finding]:
    from modelbuild.usecases.housekeeping import cache_size

    subject = "cache"
    size = cache_size(where)
    directory = Path(size.directory)
    present = f"{human_bytes(size.pack_bytes + size.other_bytes)} in {size.packs} packs" if directory.is_dir() else "not there yet"
    limit = f", of at most {human_bytes(size.limit)}" if size.limit else ""
    yield Finding(subject, "directory", "good", f"{directory}: {present}{limit}")
    held = _nearest(directory)
    free = shutil.disk_usage(held).free
    short = bool(size.limit) and free < size.limit - size.pack_bytes
    hint = "free some, or set `[cache] max_size`" if short else ""
    yield Finding(subject, "free space", "odd" if short else "good", f"{human_bytes(free)} on {_file_system(held)}", hint)
    yield _links(subject, held, _nearest(where.root))


def _links(subject: str, cache: Path, root: Path) -> Finding:
    """Find out how outputs share the cache's bytes, by linking a file there."""
    one, other = cache / f".modelbuild-{files.random_name()}", root / f".modelbuild-{files.random_name()}"
    try:
        files.write_new(one, b"modelbuild looks how files are linked here")
        try:
            way = files.link_as(one, other)
        finally:
            for path in (one, other):
                if path.exists():
                    files.unlink(path)
    except OSError as error:
        return Finding(subject, "outputs", "bad", f"{error.strerror}: {error.filename}", "correct the permissions, or choose another place")
    told = {
        "reflink": "share the cache's blocks (reflink)",
        "hardlink": "are hard links into the cache",
        "copy": "are copies of the cache's files",
    }
    hint = "have cache and outputs on one file system: `[cache] path`, or MODELBUILD_CACHE" if way == "copy" else ""
    return Finding(subject, "outputs", "odd" if way == "copy" else "good", told[way], hint)


def _nearest(path: Path) -> Path:
    """Return a directory, or the nearest above it that is there."""
    path = path.resolve()
    return next(one for one in (path, *path.parents) if one.is_dir())


def _file_system(path: Path) -> str:
    """Return the kind of file system that holds a path, or its mount point's name where the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return "this file system"
    at = max((mount for mount in mounts if path.is_relative_to(mount[0].replace("\\040", " "))), key=lambda mount: len(mount[0]))
    return f"{at[1]} at {at[0]}"


def _devices() -> Iterator[Finding]:
    from modelbuild.engine import budget, choosing

    subject = "devices"
    cpu = f"{budget.cores()} cores, {human_bytes(budget.available())} of memory free"
    yield Finding(subject, "cpu", "good", f"{cpu}: builds take up to half of it")
    try:
        chosen = choosing.choose("auto")
    except (ImportError, OSError) as error:
        yield Finding(subject, "auto", "bad", f"torch cannot be imported: {error}", "install torch again")
        return
    for name, model, free, total in choosing.seen() if chosen != "cpu" else ():
        yield Finding(subject, name, "good", f"{model}, {human_bytes(free)} of {human_bytes(total)} free")
    auto = "is cpu" if chosen == "cpu" else f"is cpu, and {chosen} for what is not exact or needs whole tensors, and for checks"
    yield Finding(subject, "auto", "good", auto)


def _modelfile(where: Where) -> Iterator[Finding]:
    from modelbuild.graph import bind
    from modelbuild.modelfile.model import Modelfile
    from modelbuild.sources.hub import is_hub
    from modelbuild.usecases.where import modelfile_at

    subject = "Modelfile"
    if not where.file.exists():
        yield Finding(subject, str(where.file), "odd", "not there", "`modelbuild init` makes one")
        return
    try:
        modelfile: Modelfile = modelfile_at(where)
        graph = bind(modelfile)
    except ModelbuildError as error:
        first = error.problems[0]
        yield Finding(subject, str(first.place or where.file), "bad", first.what, first.hint or "`modelbuild status` shows all of it")
        return
    yield Finding(subject, str(where.file), "good", f"sources: {len(modelfile.sources)}, merges: {len(graph.nodes)}")
    mirrored = {name for name, _ in where.mirrors}
    for name, source in modelfile.read.items():
        if not is_hub(source.location) and name not in mirrored and not (where.root / source.location).exists():
            yield Finding(subject, f"source {name}", "bad", f"nothing is at {where.root / source.location}", "correct `from`")


def _hub(where: Where) -> Iterator[Finding]:
    """Ask the hub for the sources that are there; without any, for nothing but an answer."""
    from modelbuild.sources.hub import is_hub, open_hub, parse_address
    from modelbuild.usecases.where import modelfile_at

    subject = "hub"
    try:
        sources = [source for source in modelfile_at(where).read.values() if is_hub(source.location)]
    except ModelbuildError:
        sources = []
    if not sources:
        yield Finding(subject, "sources", "good", "the Modelfile has none on a hub")
    for source in sources:
        try:
            folder = open_hub(parse_address(source.location), "", offline=where.offline)
            yield Finding(subject, source.name, "good", f"{source.location} can be read, at {folder.commit[:12]}")
        except ModelbuildError as error:
            first = error.problems[0]
            yield Finding(subject, source.name, "bad", "; ".join((first.what, *first.facts)), first.hint)

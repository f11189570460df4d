"""A recipe that somebody published, brought into a directory of its own: it is built there, and touches nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from modelbuild import files, lockfile
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Noted, Report
from modelbuild.graph import bind
from modelbuild.lockfile import Lock
from modelbuild.modelfile.model import Modelfile
from modelbuild.modelfile.parse import parse
from modelbuild.names import plain
from modelbuild.reading import LOCK as MOST_LOCK
from modelbuild.reading import SMALL, TEXT, Unfit, read_small
from modelbuild.sources.asking import Address
from modelbuild.sources.hub import HubFolder, is_hub, open_hub, parse_address
from modelbuild.usecases.published import LOCK, MODELFILE, stays_inside, template_files
from modelbuild.usecases.where import Where


def checkout(location: str, directory: Path, report: Report, *, cache: str, offline: bool, mirrors: Sequence[tuple[str, str]]) -> Where:
    """See `modelbuild.usecases.checkout`."""
    address = parse_address(location, "the recipe is")
    folder = open_hub(address, "", offline=offline)
    place = directory / address.repo.rpartition("/")[2]
    found = _fetched(folder, address)
    modelfile = parse(Path(f"{folder.place}/{MODELFILE}"), _decoded(found[MODELFILE], folder))
    _refuse_astray(modelfile, folder)
    for _, template in template_files(modelfile):
        if template in folder.listing and folder.listing[template].size <= SMALL:
            folder.fetch(template)
            found[template] = read_small(folder.path(template))
    _put(place, found)
    report(Noted(f"{folder.place} is in {place}"))
    where = Where(place / MODELFILE, cache, offline=offline, mirrors=tuple(mirrors))
    _refuse_missing(modelfile, place, lockfile.read(where.lock) or Lock(), {name for name, _ in mirrors})
    return where


def _fetched(folder: HubFolder, address: Address) -> dict[str, bytes]:
    missing = [name for name in (MODELFILE, LOCK) if name not in folder.listing]
    if missing:
        facts = (f"{folder.place} has no {' and no '.join(missing)}",)
        hint = "name a repository that `modelbuild push` filled"
        raise ModelbuildError(Problem(f"`{address.repo}` holds no recipe", facts=facts, hint=hint), Exit.SOURCE)
    found = {}
    for name, most in ((MODELFILE, TEXT), (LOCK, MOST_LOCK)):
        try:
            if folder.listing[name].size > most:
                raise Unfit(f"it has {folder.listing[name].size} bytes, and {most} are the most")
            folder.fetch(name)
            found[name] = read_small(folder.path(name), most)
        except Unfit as error:
            hint = "choose another revision, or tell who published it"
            raise ModelbuildError(Problem(f"`{name}` of {folder.place} is not read", facts=(str(error),), hint=hint), Exit.SOURCE) from None
    return found


def _decoded(data: bytes, folder: HubFolder) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelbuildError(Problem(f"`{MODELFILE}` of {folder.place} is no text", hint="choose another revision"), Exit.SOURCE) from None


def _refuse_astray(modelfile: Modelfile, folder: HubFolder) -> None:
    """Refuse a recipe that would write or read elsewhere: who builds it did not write it."""
    facts = [f"`{at}` is `{plain(path)}`" for at, path in _places(modelfile) if path and not stays_inside(path)]
    facts += [
        f"the chat template of `{merge.name}` is `{plain(path)}`" for merge, path in template_files(modelfile) if not _is_template(path)
    ]
    if facts:
        what, hint = f"the recipe of {folder.place} leads out of its directory", "take the Modelfile by hand, read it, and change that"
        raise ModelbuildError(Problem(what, facts=tuple(facts[:5]), hint=hint), Exit.UNSAFE)


def _places(modelfile: Modelfile) -> Iterator[tuple[str, str]]:
    yield "cache.path", modelfile.cache.path
    for name, merge in modelfile.merges.items():
        yield f"merge.{name}.output.path", merge.output.path


def _is_template(path: str) -> bool:
    """Tell whether a path may be written to: below the directory, and nothing that builds keep there."""
    parts = PurePosixPath(path).parts
    return stays_inside(path) and parts[0] not in ("cache", "out") and not any(part.startswith(".") for part in parts)


def _put(place: Path, found: dict[str, bytes]) -> None:
    """Write a recipe, unless another stands there."""
    others = [name for name, data in found.items() if (place / name).exists() and not _holds(place / name, data)]
    if others:
        what = f"`{place}` holds another {', '.join(sorted(others))}"
        hint = "go to another directory, or remove it: `out` and `cache` may stay, and what did not change is not built again"
        raise ModelbuildError(Problem(what, hint=hint), Exit.UNSAFE)
    for name, data in found.items():
        path = place / PurePosixPath(name)
        if not path.exists():
            files.make_directory(path.parent)
            files.write_atomic(path, data)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return read_small(path) == data
    except OSError:
        return False


def _refuse_missing(modelfile: Modelfile, place: Path, lock: Lock, mirrored: set[str]) -> None:
    """Refuse to begin where a source is on no hub, and not here."""
    graph = bind(modelfile)
    named = [model for name in graph.upstream(graph.default) for model in graph.nodes[name].models if model in modelfile.sources]
    needed = dict.fromkeys(one for model in named for one in (model, *modelfile.sources[model].adapters))
    problems = []
    for name in needed:
        source = modelfile.read[name]
        if is_hub(source.location) or name in mirrored or (stays_inside(source.location) and (place / source.location).exists()):
            continue
        locked = lock.sources.get(name)
        facts = [f"its `from` is `{plain(source.location)}`, of the machine that it was published on"]
        facts += [f"its tensors have the digest {locked.root}"] if locked and locked.root else []
        facts += [
            f"`{file}` has the sha256 {one.sha256}"
            for file, one in (locked.files.items() if locked else ())
            if file.endswith(".safetensors")
        ][:3]
        inside = f", or put it at {place / source.location}" if stays_inside(source.location) else ""
        hint = (
            f"whoever has it names it: `--source {name}=PATH`{inside}"
            if name in modelfile.sources
            else f"put it at {place / source.location}"
        )
        problems.append(Problem(f"source `{name}` was published nowhere, and is not here", facts=tuple(facts), hint=hint))
    if problems:
        raise ModelbuildError(problems, Exit.SOURCE)

"""What `diff` compares: a directory or a file of weights, the output of a target, or that of a past build, as a table of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from modelbuild.cache import Cache
from modelbuild.cache.builds import Builds, PastBuild, PastOutput
from modelbuild.cache.layout import parse_json
from modelbuild.cache.outputs import OutputTable
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine.publish import MANIFEST, read_manifest
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.modelfile.misnamed import misnamed, variants_of
from modelbuild.modelfile.model import Modelfile
from modelbuild.reading import read_small
from modelbuild.sources.local import open_local
from modelbuild.usecases.logbook import build_called, outputs_called
from modelbuild.usecases.recipe import Recipe, flat, resting_on, within
from modelbuild.usecases.unlike import recipe_in
from modelbuild.usecases.where import Where, modelfile_at

_WEIGHTS = ".safetensors"


class HeldTensor(Struct, frozen=True):
    """A tensor of a side: its digest, "" where it is not known; and where it lies, None where its bytes are nowhere."""

    digest: str
    info: TensorInfo | None


class Side(Struct, frozen=True, dict=True):
    """One of the two that are compared.

    Args:
        label: what it is called.
        tensors: by name.
        recipe: what it was made by, {} where nothing says it.
        target: the merge in that recipe, or "".
        small: reads a file beside the weights, None where there is none of that name.
        whole: whether it is a model, and not a file of weights alone.
        facts: what else is known of its ingredients, by (name, of what): revisions of methods, commits and roots of sources.

    """

    label: str
    tensors: Mapping[str, HeldTensor]
    recipe: Recipe
    target: str
    small: Callable[[str], bytes | None]
    whole: bool = True
    facts: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def ingredients(self) -> Recipe:
        """The part of its recipe that it rests on."""
        return within(self.recipe, resting_on(self.recipe, self.target)) if self.target else self.recipe


class Sides:
    """Finds what words name.

    Args:
        where: the Modelfile, which need not be there where only paths are compared.
        cache: knows past builds, and digests.
        root: the directory that paths start from.

    """

    def __init__(self, where: Where, cache: Cache, root: Path) -> None:
        self.where, self.cache, self.root = where, cache, root
        self.builds, self.outputs = Builds(cache.index, where.file), OutputTable(cache.index)

    def named(self, word: str) -> tuple[Side, ...]:
        """Return what a word names: one side, or one for each output of a past build.

        Raises:
            ModelbuildError: exit 2 if it names nothing, 5 if a file is no sound safetensors file.

        """
        path = self.root / word
        if "/" in word or word.startswith(".") or word.endswith(_WEIGHTS):
            return (self._of_path(word, path),)
        name, _, target = word.partition("::")
        modelfile = self._modelfile()
        if modelfile and word in modelfile.merges:
            return (self._of_target(modelfile, word),)
        if modelfile and word in modelfile.sources:
            return (self._of_path(word, self.where.root / modelfile.sources[word].location),)
        if any(build.id.startswith(name) for build in self.builds.all()):
            return tuple(self._of_build(build_called(self.builds, name), target))
        if path.exists():
            return (self._of_path(word, path),)
        known = (*(modelfile.merges if modelfile else ()), *(modelfile.sources if modelfile else ()))
        what, facts, hint = misnamed(word, f"`{word}` is no merge, no source, no build and no path", known)
        if not variants_of(word, known):
            facts = (*facts, "a build is named by its id: see `modelbuild log`; a path has a `/` in it")
        raise ModelbuildError(Problem(what, facts=facts, hint=hint))

    def _modelfile(self) -> Modelfile | None:
        return modelfile_at(self.where) if all(file.is_file() for file in self.where.files) else None

    def _of_path(self, label: str, path: Path) -> Side:
        """Return a directory or a file of weights."""
        if not path.exists():
            problem = Problem(f"`{label}` has no weights to compare", facts=(f"nothing is at {path}",), hint="name a directory, or a file")
            raise ModelbuildError(problem, Exit.SOURCE)
        checkpoint = open_local(label, path)
        published = dict(read_manifest(path).tensors) if path.is_dir() and self.outputs.known(path) else {}
        known = {file: published or self.cache.stats.remembered(file) or {} for file in checkpoint.weights}
        tensors = {name: HeldTensor(known[info.path].get(name, ""), info) for name, info in checkpoint.tensors.items()}

        def small(name: str) -> bytes | None:
            return read_small(path / name) if (path / name).is_file() else None

        return Side(label, tensors, {}, "", small, path.is_dir())

    def _of_target(self, modelfile: Modelfile, name: str) -> Side:
        """Return a target's output as it stands."""
        path = self.where.root / (modelfile.merges[name].output.path or f"out/{name}")
        if not (path / MANIFEST).is_file():
            facts = (f"nothing that modelbuild made stands at {path}",)
            raise ModelbuildError(Problem(f"`{name}` is not built", facts=facts, hint=f"build it: `modelbuild build {name}`"))
        held, root = self._of_path(name, path), read_manifest(path).root
        made = ((build, output) for build in self.builds.all() for output in build.outputs if (output.name, output.root) == (name, root))
        build, output = next(made, (None, None))
        if build is None or output is None:
            return Side(name, held.tensors, flat(modelfile.document), name, held.small)
        return Side(name, held.tensors, recipe_in(self.builds, build), name, held.small, facts=_facts(build, output))

    def _of_build(self, build: PastBuild, target: str) -> Iterator[Side]:
        """Yield outputs of a past build, from what the cache has kept of them; of a sweep or a glob several."""
        chosen = outputs_called(build, (target,)) if target else tuple(output for output in build.outputs if output.identity)
        if not chosen:
            hint = "`modelbuild log` lists builds and what they left"
            raise ModelbuildError(Problem(f"build {build.id} left no output", facts=build.problems, hint=hint))
        for output in chosen:
            yield Side(
                f"{build.id}::{output.name}",
                self._kept(output),
                recipe_in(self.builds, build),
                output.name,
                lambda file, output=output: self.builds.file(output.small.get(file, "")),  # type: ignore[misc]
                facts=_facts(build, output),
            )

    def _kept(self, output: PastOutput) -> dict[str, HeldTensor]:
        """Return the tensors of a past output, from packs that are there; of others the digest at most."""
        table = parse_json(self.builds.file(output.small.get(MANIFEST, "")) or b"null")
        digests = table.get("tensors") if isinstance(table, dict) else None
        found = {name: HeldTensor(str(digest), None) for name, digest in (digests if isinstance(digests, dict) else {}).items()}
        for pack in output.weights.values():
            found |= {info.name: HeldTensor(digest, info) for info, digest in self._pack(pack)}
        for name, held in found.items():
            if held.info is None:
                found[name] = HeldTensor(held.digest, self._elsewhere(name, held.digest))
        return found

    def _pack(self, pack: str) -> Iterator[tuple[TensorInfo, str]]:
        path, sidecar = self.cache.packs.has(pack), self.cache.packs.sidecar(pack)
        if path is not None and sidecar is not None and path.stat().st_size == sidecar.size:
            for entry, offset in sidecar.tensors:
                yield TensorInfo(entry.name, entry.dtype, entry.shape, path, offset, entry.nbytes), entry.digest

    def _elsewhere(self, name: str, digest: str) -> TensorInfo | None:
        """Look for a tensor in the pack that the index knows of."""
        pack = self.cache.packs.said_to_hold(digest)
        for info, held in self._pack(pack) if pack else ():
            if held == digest:
                return TensorInfo(name, info.dtype, info.shape, info.path, info.offset, info.nbytes)
        return None


def _facts(build: PastBuild, output: PastOutput) -> dict[tuple[str, str], str]:
    """Return what a build knew of an output's ingredients beside their recipe."""
    found = {(f"method {method} (revision)", ""): str(revision) for method, revision in build.methods.items()}
    found |= {(f"source {source} (commit)", ""): one.commit for source, one in build.sources.items() if one.commit}
    return found | {(f"source {source} (tensors)", output.scope.get(source, "")): root for source, root in output.read.items() if root}

"""The models that checks look at: outputs of merges and sources, each under the digest of what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3

from modelbuild.cache import Cache
from modelbuild.checkpoint.adapter import CONFIG as ADAPTER_CONFIG
from modelbuild.checks.loading import Subject
from modelbuild.digest import KEY_FORMAT, encode, merkle_root
from modelbuild.engine.publish import read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import ModelbuildError
from modelbuild.modelfile.model import Source
from modelbuild.plan import Leaf
from modelbuild.reading import read_small
from modelbuild.sources.checkpoint import CARRIED, Checkpoint
from modelbuild.sources.hub import HubFolder
from modelbuild.usecases.outcome import Outcome
from modelbuild.usecases.project import Project

_ALONG = (*CARRIED, ADAPTER_CONFIG)


def digest_of(root: str, along: Mapping[str, bytes]) -> str:
    """Digest a model: its tensors, however they are sharded, and the files that go along.

    Args:
        root: the Merkle root of its tensors.
        along: the other files that belong to a model, by name.

    """
    small = tuple((name, blake3(data).hexdigest()) for name, data in sorted(along.items()) if name in _ALONG)
    return blake3(encode(("model", KEY_FORMAT, root, small))).hexdigest()


class Subjects:
    """Finds models by their names.

    Args:
        project: a Modelfile.
        cache: its cache, which knows digests.
        outcome: of the build of all merges that are asked for.

    """

    def __init__(self, project: Project, cache: Cache, outcome: Outcome) -> None:
        """Look at nothing yet."""
        self._project, self._cache = project, cache
        self._outputs = {target.name: Path(target.path) for target in outcome.targets}
        self._found: dict[str, Subject] = {}

    def of(self, name: str) -> Subject:
        """Return a merge's output, or a source.

        Raises:
            ModelbuildError: if it is a source that cannot be loaded as it stands.

        """
        if name not in self._found:
            self._found[name] = output_at(name, self._outputs[name]) if name in self._outputs else self._source(name)
        return self._found[name]

    def _source(self, name: str) -> Subject:
        written = self._project.modelfile.sources[name]
        if written.adapters or written.pickles or written.ranges:
            why = "adapters" if written.adapters else "pickles" if written.pickles else "ranges"
            hint = f'declare a merge of it, `method = "passthrough"`, `inputs = ["{name}"]`, and name that in `parents`'
            raise self._unfit(written, f"it is read with `{why}`, and checks load whole directories", hint)
        checkpoint = self._project.checkpoints([name])[name]
        if isinstance(checkpoint.folder, HubFolder):
            for file in [path.name for path in (*checkpoint.weights, *checkpoint.carried.values())]:
                checkpoint.folder.fetch(file)
        location = dict(self._project.where.mirrors).get(name) or str(self._project.where.root / written.location)
        if Path(location).is_file():
            hint = "put it into a directory with its config.json"
            raise self._unfit(written, "it is a single file, and checks load whole directories", hint)
        if "config.json" not in checkpoint.carried:
            raise self._unfit(written, "it has no config.json", "name another one in `parents`")
        return Subject(name, checkpoint.carried["config.json"].parent, self._digest(checkpoint))

    def _unfit(self, source: Source, fact: str, hint: str) -> ModelbuildError:
        problem = self._project.modelfile.locator.problem(f"`{source.name}` cannot be checked", source.path, facts=(fact,), hint=hint)
        return ModelbuildError(problem)

    def _digest(self, checkpoint: Checkpoint) -> str:
        sources = SourceFiles(self._cache)
        try:
            leaves = [
                (info.name, info.dtype, info.shape, sources.digest(Leaf(checkpoint.name, info))[0]) for info in checkpoint.tensors.values()
            ]
            sources.remember()
        finally:
            sources.close()
        return digest_of(merkle_root(leaves), {name: read_small(path) for name, path in checkpoint.carried.items()})


def output_at(name: str, path: Path) -> Subject:
    """Return the output that stands in a directory."""
    manifest = read_manifest(path)
    along = {file: read_small(path / file) for file in manifest.files if file in _ALONG}
    return Subject(name, path, digest_of(manifest.root, along), ADAPTER_CONFIG in along and "config.json" not in along)

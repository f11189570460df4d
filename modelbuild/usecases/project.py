"""A project: a Modelfile, the directory it stands in, and its cache."""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from modelbuild import lockfile
from modelbuild.cache import Cache
from modelbuild.cache.history import History
from modelbuild.cache.salvage import left_over
from modelbuild.cache.timings import Timings
from modelbuild.checkpoint.adapter import CONFIG as ADAPTER_CONFIG
from modelbuild.errors import Exit, ModelbuildError, Problem, among, did_you_mean
from modelbuild.events import Noted, Report, Warned
from modelbuild.graph import Graph, bind, select
from modelbuild.graph.targets import meant
from modelbuild.lockfile import Lock
from modelbuild.modelfile.model import AdapterSource, Export, Modelfile, Source
from modelbuild.names import VARIANT, plain
from modelbuild.plan import Plan, make_plan
from modelbuild.sources.checkpoint import CARRIED, Checkpoint, read_checkpoint
from modelbuild.sources.hub import is_hub, open_hub, parse_address
from modelbuild.sources.local import open_local
from modelbuild.usecases.soups import refuse_unchosen, with_soups
from modelbuild.usecases.where import Where, modelfile_at

_VARIANT = re.compile(f"`([^`{VARIANT}]+){VARIANT}[^`]*`")


class Project(Struct, frozen=True, dict=True):
    """A Modelfile read and bound."""

    where: Where
    modelfile: Modelfile
    graph: Graph
    lock: Lock | None

    @classmethod
    def open(cls, where: Where, chosen: Mapping[str, Sequence[str]] | None = None) -> Project:
        """Read and bind the Modelfile, and read the lock if there is one; opens no source.

        Args:
            where: what to read.
            chosen: the ingredients of soups, by merge, where the lock is not to say.

        """
        lock = lockfile.read(where.lock)
        modelfile = with_soups(modelfile_at(where), lock, chosen or {})
        problems = [
            Problem(
                f"no source is called `{name}`",
                facts=(f"`--source {name}={path}` names it", f"declared: {among(modelfile.sources)}"),
                hint=did_you_mean(name, modelfile.sources),
            )
            for name, path in where.mirrors
            if name not in modelfile.sources
        ]
        if problems:
            raise ModelbuildError(problems)
        return cls(where, modelfile, bind(modelfile), lock)

    def _elsewhere(self, name: str) -> str:
        """Return the hint for who gives a directory after a configuration, as mergekit-yaml takes it."""
        merge = (self.graph.default or ("NAME",))[0]
        setting = f"--set merge.{merge}.output.path={name}"
        return f"outputs are in `out/`; `{setting}` writes this one there" if self.where.imports and "/" in name else ""

    def cache(self) -> Cache:
        """Open the project's cache; writes nothing until there is something to keep."""
        return Cache.open(self.cache_directory)

    @property
    def cache_directory(self) -> Path:
        """Where the cache is."""
        return self.where.cache_directory(self.modelfile.cache.path)

    def targets(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the merges that names, groups and globs mean, an export's for the export, or the default ones.

        Raises:
            ModelbuildError: exit 2 if one of them means neither a merge nor an export.

        """
        chosen = select(self.modelfile, names, self._elsewhere) or self.graph.default
        if not chosen:
            raise ModelbuildError(
                Problem("there is nothing to build", facts=(f"{self.where.file} declares no merge",), hint="add a [merge.NAME] table")
            )
        return chosen

    def exports(self, names: Sequence[str]) -> tuple[Export, ...]:
        """Return the exports among what names, groups and globs mean, or among the default targets."""
        known = self.modelfile.exports
        return tuple(known[name] for name in meant(self.modelfile, names or self.modelfile.default) if name in known)

    def target(self, name: str) -> str:
        """Return the target of that name, or the only default one.

        Raises:
            ModelbuildError: exit 2 if a name is no merge, or none is given and there are several.

        """
        if export := self.modelfile.exports.get(name):
            facts, hint = (f"it is an export of `{export.of}`",), f"name the merge: `{export.of}`"
            raise ModelbuildError(self.modelfile.locator.problem(f"`{name}` is no merge", export.path, key=True, facts=facts, hint=hint))
        chosen = self.targets((name,) if name else ())
        if len(chosen) > 1:
            facts = (f"{f'`{name}` means' if name else 'built by default'}: {among(chosen)}",)
            way = f"-f {self.where.file} {chosen[0]}" if self.where.imports else chosen[0]
            raise ModelbuildError(Problem("which merge is meant?", facts=facts, hint=f"name it: `{way}`"))
        return chosen[0]

    def plan(self, targets: Iterable[str]) -> Plan:
        """Open the sources that `targets` rest on, and plan them."""
        targets = tuple(targets)
        refuse_unchosen(self.modelfile, self.graph.upstream(targets))
        sources = self.modelfile.sources
        named = [model for name in self.graph.upstream(targets) for model in self.graph.nodes[name].models if model in sources]
        needed = dict.fromkeys(name for model in named for name in (model, *sources[model].adapters))
        with _all_alive():
            return make_plan(self.graph, self.checkpoints(needed), targets, self.where.root, self.cache_directory)

    def remember(self, cache: Cache, keys: Mapping[str, Mapping[str, str]], seconds: Mapping[tuple[str, str], float]) -> None:
        """Note the keys of a build, for `explain` to compare the next with, and how long it took over each (node, tensor) that ran."""
        History(cache.index, self.where.file).remember(keys)
        if seconds:
            Timings(cache.index, self.where.file).remember(seconds, keys)

    def collect(self, cache: Cache, keep: Collection[str]) -> None:
        """Bring the cache within `max_size`; the packs of the build in hand stay, and count as used."""
        cache.packs.touch(pack for pack in keep if cache.packs.has(pack))
        limit = self.modelfile.cache.max_size or default_max_size(cache)
        if cache.packs.total_size() + left_over(cache.directory)[1] > limit:
            cache.collect(limit, keep)

    def checkpoints(self, names: Iterable[str]) -> Mapping[str, Checkpoint]:
        """Open sources and adapters, by name.

        Raises:
            ModelbuildError: with everything that is wrong with them.

        """
        opened, problems, exit_code = {}, [], Exit.SOURCE
        for name in names:
            source = self.modelfile.read[name]
            try:
                opened[name] = self._opened(source)
            except ModelbuildError as error:
                exit_code = error.exit_code
                problems += [
                    self.modelfile.locator.problem(one.what, (*source.path, "from"), facts=one.facts, hint=one.hint)
                    for one in error.problems
                ]
            except OSError as error:
                fact = f"{error.strerror or error}" + (f": {plain(str(error.filename), 1000)}" if error.filename else "")
                problems.append(
                    self.modelfile.locator.problem(
                        f"source `{name}` cannot be read", (*source.path, "from"), facts=(fact,), hint="correct `from`, or the permissions"
                    )
                )
        if problems:
            raise ModelbuildError(problems, exit_code)
        return opened

    def _opened(self, source: Source) -> Checkpoint:
        carried = (ADAPTER_CONFIG,) if isinstance(source, AdapterSource) else CARRIED
        mirror = dict(self.where.mirrors).get(source.name)
        if mirror:
            return open_local(source.name, Path(mirror), carried)
        if source.pickles:
            return self._unpickled(source)
        if not is_hub(source.location):
            return open_local(source.name, self.where.root / source.location, carried)
        pinned = self.lock.sources.get(source.name) if self.lock else None
        pin = pinned.commit if pinned and pinned.location == source.location else ""
        folder = open_hub(parse_address(source.location), pin, offline=self.where.offline, ranges=source.ranges)
        return read_checkpoint(source.name, folder, carried)

    def _unpickled(self, source: Source) -> Checkpoint:
        """Open a source of pickles; one that holds safetensors as well is opened like any other."""
        directory = self.where.root / source.location
        if not directory.is_dir() or any(directory.glob("*.safetensors")):
            return open_local(source.name, directory)
        from modelbuild.engine.unpickling import converted, pickles

        folder = converted(source.name, directory, self.cache_directory)
        return replace(read_checkpoint(source.name, folder), origins=pickles(directory))


def tell_of(plan: Plan, report: Report) -> None:
    """Report a plan's notes and warnings; what is to be said of several variants of a merge, once."""
    for note in plan.graph.notes:
        report(Noted(note))
    alike: dict[str, list[str]] = {}
    for warning in plan.warnings:
        alike.setdefault(_VARIANT.sub(r"`\1`", warning), []).append(warning)
    for first, *others in alike.values():
        more = f" (and of {len(others)} more {'variant' if len(others) == 1 else 'variants'})" if others else ""
        report(Warned(f"{first}{more}"))


@contextmanager
def _all_alive() -> Iterator[None]:
    """Keep Python from looking for garbage where all that is made is used: of a plan's time it would take a third."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # of whoever runs us
                gc.freeze()
                gc.unfreeze()  # all of it counts as old now, without having been looked through
            gc.enable()


def default_max_size(cache: Cache) -> int:
    """Return the size that a cache may have where the Modelfile sets none: half of the free space at first use."""
    stored = cache.index.get("max_size")
    if isinstance(stored, int):
        return stored
    limit = shutil.disk_usage(cache.directory).free // 2
    cache.index.put_many({"max_size": limit})
    return limit

"""An old output made again: of packs that the cache has kept, else computed from the recorded Modelfile and lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from modelbuild import files, lockfile
from modelbuild.cache import Cache
from modelbuild.cache.builds import Builds, PastBuild, PastOutput
from modelbuild.cache.layout import prepare
from modelbuild.cache.outputs import OutputTable
from modelbuild.engine.publish import Content, publish, refuse_foreign
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem, among, some
from modelbuild.events import Report
from modelbuild.graph import bind
from modelbuild.modelfile.misnamed import FEW
from modelbuild.modelfile.parse import parse
from modelbuild.names import SHORT, is_file_name, real
from modelbuild.plan import Plan
from modelbuild.sources.hub import is_hub
from modelbuild.usecases.fetching import bring
from modelbuild.usecases.logbook import build_called, cache_of, outputs_called
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.run import Run
from modelbuild.usecases.unlike import method_changes, source_changes
from modelbuild.usecases.where import Where, is_configuration, modelfile_at


class Restored(Struct, frozen=True):
    """An old output that stands again.

    Args:
        build: the id of the build that had made it.
        target: the merge.
        path: where it stands now.
        how: "linked" from packs of the cache; "built" again; "fresh" where it stood there already.
        identity: its identity, which is the recorded one.
        packs: how many packs it is made of.
        run: how many actions ran for it.
        total: how many it rests on, where it was built.

    """

    build: str
    target: str
    path: str
    how: Literal["linked", "built", "fresh"]
    identity: str
    packs: int
    run: int = 0
    total: int = 0


def restore(
    where: Where, build: str, targets: Sequence[str], output: Path | None, options: Options, report: Report
) -> tuple[Restored, ...]:
    """See `modelbuild.usecases.restore`."""
    cache = cache_of(where)
    try:
        builds = Builds(cache.index, where.file)
        past = build_called(builds, build)
        chosen = _chosen(past, targets)
        if output is not None and len(chosen) > 1:
            names = [one.name for one in chosen]
            facts = (f"{'these are meant' if targets else f'build {past.id} left'}: {among(names)}",)
            hint = f"name one of them: `modelbuild restore {past.id} {names[0]} -o DIR`"
            raise ModelbuildError(Problem("which output is to be restored there?", facts=facts, hint=hint))
        paths = {one.name: output for one in chosen} if output else _standing_paths(where, past, chosen)
        _refuse(where, past, cache, list(paths.values()))
        restoring = _Restoring(where, cache, builds, past, options, report)
        done: list[Restored] = []
        for one in chosen:
            try:
                done.append(restoring.restored(one, paths[one.name]))
            except ModelbuildError as error:
                again = (f"restored before it: {among([other.target for other in done])}",) if done else ()
                problems = [replace(problem, facts=(*problem.facts, *again)) for problem in error.problems]
                raise ModelbuildError(problems, error.exit_code) from None
        return tuple(done)
    finally:
        cache.close()


def _chosen(past: PastBuild, words: Sequence[str]) -> tuple[PastOutput, ...]:
    """Return the outputs of a build that are meant by names, sweeps and globs, each once; all of them where nothing is said."""
    made = {one.name: one for one in past.outputs if one.identity}
    if not made:
        raise ModelbuildError(Problem(f"build {past.id} left no output", facts=past.problems, hint="`modelbuild log` lists others"))
    return outputs_called(past, words) if words else tuple(made.values())


def _standing_paths(where: Where, past: PastBuild, outputs: Sequence[PastOutput]) -> dict[str, Path]:
    """Return where the Modelfile as it is now has the outputs of those names: no path is taken from the cache."""
    whole = f"`modelbuild restore {past.id} {outputs[0].name} -o DIR`"
    hint = "say where it is to go: `-o DIR`" if len(outputs) == 1 else f"say where one of them is to go: {whole}"
    try:
        merges = modelfile_at(where).merges
    except ModelbuildError as error:
        problem = Problem("the Modelfile as it is now does not say where outputs go", facts=(error.problems[0].what,), hint=hint)
        raise ModelbuildError(problem) from None
    gone = [one.name for one in outputs if one.name not in merges]
    if gone:
        left = [one.name for one in outputs if one.name in merges]
        facts = (f"of these it has {among(left)}",) if left else ()
        hint = f"name those that it has, or say where one is to go: `modelbuild restore {past.id} {gone[0]} -o DIR`" if left else hint
        raise ModelbuildError(Problem(f"the Modelfile as it is now has no merge {some(gone, FEW)}", facts=facts, hint=hint))
    return {one.name: where.root / (merges[one.name].output.path or f"out/{one.name}") for one in outputs}


def _refuse(where: Where, past: PastBuild, cache: Cache, paths: Sequence[Path]) -> None:
    """Refuse to write over anything that is not an output of modelbuild, or that is a source or the cache.

    Raises:
        ModelbuildError: exit 8.

    """
    table = OutputTable(cache.index)
    taken = {real(where.root / one.location): f"source `{name}`" for name, one in past.sources.items() if not is_hub(one.location)}
    taken[real(cache.directory)] = "the cache"
    for path in paths:
        own = real(path)
        over = [who for other, who in taken.items() if own == other or own in other.parents]
        if over or real(cache.directory) in own.parents:
            what = f"`{path}` is not written: it would replace {(over or ['a part of the cache'])[0]}"
            problem = Problem(what, hint="choose another with `-o`")
            raise ModelbuildError(problem, Exit.UNSAFE)
        refuse_foreign(path, table.names(path))


class _Restoring:
    """Restores outputs of one build."""

    def __init__(self, where: Where, cache: Cache, builds: Builds, past: PastBuild, options: Options, report: Report) -> None:
        self.where, self.cache, self.builds, self.past, self.options, self.report = where, cache, builds, past, options, report
        self.outputs = OutputTable(cache.index)

    def restored(self, output: PastOutput, path: Path) -> Restored:
        """Restore one output."""
        names = (*output.weights, *output.small)
        if self.outputs.stands(path, output.identity, names):
            return Restored(self.past.id, output.name, str(path), "fresh", output.identity, len(output.weights))
        small = {name: self.builds.file(digest) for name, digest in output.small.items()}
        whole = {name: data for name, data in small.items() if data is not None}
        here = len(whole) == len(small) and all(self.cache.packs.trusted(pack) for pack in output.weights.values())
        return self._linked(output, path, whole) if here else self._built(output, path)

    def _linked(self, output: PastOutput, path: Path, small: dict[str, bytes]) -> Restored:
        """Put an output together from packs, after seeing that it is the recorded one."""
        content = Content(output.weights, small, output.root)
        if content.identity != output.identity:
            facts = (f"its identity is {content.identity}", f"{output.identity} is recorded")
            hint = "build it from the Modelfile of that time"
            raise ModelbuildError(Problem(f"what the cache holds is not `{output.name}` as it was", facts=facts, hint=hint), Exit.DIGEST)
        before = self.outputs.packs(path)
        *_, stats = publish(path, {file: self.cache.packs.path(pack) for file, pack in output.weights.items()}, small)
        self.outputs.remember(path, output.identity, stats, output.weights)
        for pack in {*before, *output.weights.values()}:
            self.cache.packs.refresh(pack)
        self.cache.packs.touch(output.weights.values())
        return Restored(self.past.id, output.name, str(path), "linked", output.identity, len(output.weights))

    def _built(self, output: PastOutput, path: Path) -> Restored:
        """Build an output by the recorded Modelfile and lock; what the cache still knows is not computed again."""
        with self._project() as project:
            plan = project.plan((output.name,))
            target = replace(plan.targets[output.name], path=path)
            plan = replace(plan, targets={output.name: target})
            sources = SourceFiles(self.cache)
            try:
                bring(plan, self.report)
                run = Run(plan, self.cache, sources, self.options, self.report, {}, {output.name: output.identity})
                outcome = run.run(0.0)
                if outcome.exit_code == Exit.DIGEST:
                    raise self._others(outcome.problems, plan, output, sources)
                if outcome.exit_code != Exit.DONE:
                    raise ModelbuildError(outcome.problems, Exit(outcome.exit_code))
                project.collect(self.cache, run.used_packs)
            finally:
                sources.close()
        return Restored(
            self.past.id, output.name, str(path), "built", output.identity, len(output.weights), outcome.actions.run, outcome.actions.total
        )

    def _others(self, problems: Sequence[Problem], plan: Plan, output: PastOutput, sources: SourceFiles) -> ModelbuildError:
        """Say with what differs from the record which sources, and which methods, are others than then."""
        changes = [*source_changes(self.past, plan, output.name, sources), *method_changes(self.past, plan)]
        facts = tuple(f"{change.field}: it was {change.old[:SHORT]}, and is {change.new[:SHORT]}" for change in changes)
        hint = "bring back what it was made of; what stands at the output's path was left as it is"
        return ModelbuildError([replace(one, facts=(*one.facts, *facts), hint=hint) for one in problems], Exit.DIGEST)

    @contextmanager
    def _project(self) -> Iterator[Project]:
        """Open the project as it was: its Modelfile and its lock from the log, its cache where it is now."""
        texts = [(Path(path), self.builds.file(digest)) for path, digest in self.past.files]
        if any(
            text is None or (self.where.imports and not (is_configuration(path.name) and is_file_name(path.name))) for path, text in texts
        ):
            hint = "take the Modelfile of that time from version control, and build it"
            raise ModelbuildError(Problem(f"the Modelfile of build {self.past.id} is no longer in the cache", hint=hint), Exit.DIGEST)
        lock = lockfile.parse(self.where.lock, self.builds.file(self.past.lock) or b"") if self.past.lock else None
        where = replace(self.where, overrides=self.past.overrides, cache=str(self.cache.directory.absolute()))
        if not where.imports:
            modelfile = parse(where.file, (texts[0][1] or b"").decode("utf-8-sig"), where.overrides)
            yield Project(where, modelfile, bind(modelfile), lock)
            return
        prepare(self.cache.directory)
        scratch = self.cache.directory / f".verify-{files.random_name()}"
        places = [scratch / str(i) / path.name for i, (path, _) in enumerate(texts)]
        try:
            for place, (_, text) in zip(places, texts, strict=True):
                files.make_directory(place.parent)
                files.write_new(place, text or b"")
            first, *more = places
            where = replace(where, file=first, more=tuple(more))
            modelfile = modelfile_at(where)
            yield Project(where, modelfile, bind(modelfile), lock)
        finally:
            files.remove_tree(scratch)

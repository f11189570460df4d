"""Exports of targets brought up to date: made anew where the target, the definition or the maker changed, and only there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3
from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.cache.outputs import OutputTable
from modelbuild.digest import KEY_FORMAT, encode
from modelbuild.engine.crew import at_work
from modelbuild.engine.publish import STAGED, Content, is_here, read_manifest, sweep
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Exporting, Published, Report, Warned
from modelbuild.exports import command
from modelbuild.exports.forms import FORMS, maker
from modelbuild.exports.making import make
from modelbuild.exports.subject import Foreseen, Unexportable, is_beside
from modelbuild.modelfile.model import Export
from modelbuild.plan import Plan, Target
from modelbuild.reading import read_small
from modelbuild.usecases import preflight
from modelbuild.usecases.foreseeing import Foresight
from modelbuild.usecases.outcome import BuiltTarget, Bytes, Options, Outcome
from modelbuild.usecases.placing import place, refuse_foreign_export, refuse_overlaps
from modelbuild.usecases.project import Project

if TYPE_CHECKING:
    from modelbuild.usecases.gating import Gate


class Made(Struct, frozen=True):
    """What a stamp has to know of exports.

    Args:
        stand: tells whether all outputs, of merges too, are still those that were published.
        outputs: the files that were written.
        read: the files of converters, and of the checks that were asked for.
        makers: what changes when a form does, by form.

    """

    stand: Callable[[], bool]
    outputs: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    makers: Mapping[str, str] = field(default_factory=dict)


def identity_of(export: Export, root: str, small: Mapping[str, bytes], directory: Path) -> str:
    """Return the digest of all that an export is made from.

    Args:
        export: its definition; its name and its place do not count.
        root: of the tensors of its target.
        small: the files beside the target's weights, by name.
        directory: the one that converters run in.

    """
    told = tuple((name, blake3(data).hexdigest()) for name, data in sorted(small.items()) if is_beside(name))
    definition = (export.format, export.type, export.pre_tokenizer, export.scales)
    form = "command" if export.converter else export.format
    return blake3(
        encode(("export", KEY_FORMAT, maker(form), definition, export.converter, command.digests_of(export, directory), root, told))
    ).hexdigest()


class Delivery:
    """The exports of a build.

    Args:
        project: the Modelfile.
        plan: of the targets in hand, those of the exports among them.
        cache: knows what was published.
        sources: the source files of the plan.
        names: what is asked for; none means the default targets.
        options: of the build.
        report: told of what happens.

    """

    def __init__(
        self, project: Project, plan: Plan, cache: Cache, sources: SourceFiles, names: Sequence[str], options: Options, report: Report
    ) -> None:
        """Choose the exports among what is asked for."""
        self._project, self._plan, self.options, self._report = project, plan, options, report
        self._outputs, self._foresight = OutputTable(cache.index), Foresight(cache)
        self._cache, self._sources = cache, sources
        self.exports = project.exports(names)
        self.warnings: list[str] = []
        self._foreseen: dict[str, Foreseen] = {}

    @cached_property
    def gate(self) -> Gate:
        """What asks whether targets pass their checks; without exports nothing of it is imported."""
        from modelbuild.usecases.gating import Gate

        return Gate(self._project, self._plan, self._cache, self._sources, self.options, self._report)

    def path(self, export: Export) -> Path:
        """Return where an export stands."""
        return self._project.where.root / export.place

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (*(target.path for target in self._plan.targets.values()), *map(self.path, self.exports))

    def bring_back(self) -> None:
        """Bring old outputs, and exports, back to names that a build left empty when it died between two renames."""
        for path in self._paths:
            if not os.path.lexists(path):
                files.recover(path)

    def refuse(self) -> None:
        """Refuse what cannot be made, before any work, as far as the files that go along with targets are here.

        Raises:
            ModelbuildError: exit 2, or 8 where something stands that modelbuild did not make.

        """
        refuse_overlaps(self._project, self.exports)
        for export in self.exports:
            refuse_foreign_export(self.path(export), self._outputs.names(self.path(export)))
            missing = FORMS["command" if export.converter else export.format].missing
            if missing:
                facts = (f"it is made with {', '.join(missing)}",)
                hint = f"pip install 'modelbuild[{FORMS[export.format].extra}]'"
                raise ModelbuildError(self._problem(export, f"`{export.name}` needs a package that is missing", "format", facts, hint))
            if not is_here(self._plan.targets[export.of]):
                continue  # a forecast, of a model on the hub
            try:
                foreseen = self._foreseen[export.name] = self._foresight.of(self._plan.targets[export.of], export)
            except Unexportable as error:
                raise self._worded(export, error) from None
            self.warnings += (f"`{export.name}`: {warning}" for warning in foreseen.warnings)
        for warning in self.warnings:
            self._report(Warned(warning))

    @property
    def needed(self) -> dict[Path, int]:
        """The bytes at least of exports that are sure to be made, by the directory that they go to; of converters nothing is known."""
        found: dict[Path, int] = {}
        for export in self.exports:
            if self.options.force or not self._is_there(export):
                directory = self.path(export).parent
                found[directory] = found.get(directory, 0) + self.nbytes(export)
        return found

    def nbytes(self, export: Export) -> int:
        """Return the bytes that an export has at least, as far as `refuse` could foresee them; 0 of a converter's."""
        return self._foreseen.get(export.name, Foreseen()).nbytes

    def _is_there(self, export: Export) -> bool:
        """Tell whether what was last made still stands, whatever it was made from."""
        return bool(self._outputs.names(self.path(export))) and self._outputs.known(self.path(export))

    def stale(self, export: Export, content: Content | None) -> str:
        """Return why an export is to be made, or "" where it stands.

        Args:
            export: one of them.
            content: what the output of its target holds, or None where only a build will tell.

        """
        if content is None:
            return f"`{export.of}` is stale"
        if self._stands(export, identity_of(export, content.root, content.small, self._project.where.root)):
            return ""
        if not self._is_there(export):
            return "it is not there, or was touched"
        return f"`{export.of}`, its own definition or what makes it changed"

    def _stands(self, export: Export, identity: str) -> bool:
        names = self._outputs.names(self.path(export))
        return bool(names) and self._outputs.stands(self.path(export), identity, names)

    def deliver(self, outcome: Outcome, started: float) -> Outcome:
        """Make the exports of the targets that were built; return the outcome with them in it."""
        self._foresight.remember()
        standing = {target.name for target in outcome.targets if target.state != "failed"}
        targets, problems, written, exit_code = list(outcome.targets), list(outcome.problems), 0, outcome.exit_code
        for export in self.exports:
            built = BuiltTarget(export.name, str(self.path(export)), "failed", len(self._plan.targets[export.of].tensors))
            stop = bool(problems) and not self.options.keep_going
            if export.of in standing and not stop:
                try:
                    nbytes = self._make(export, self._plan.targets[export.of])
                    built = replace(built, state="built" if nbytes else "fresh")
                    written += nbytes
                except ModelbuildError as error:
                    problems += (problem for problem in error.problems if problem not in problems)
                    exit_code = exit_code or error.exit_code
            targets.append(built)
        count = Bytes(outcome.bytes.read, outcome.bytes.written + written, outcome.bytes.linked)
        return replace(
            outcome,
            targets=tuple(targets),
            problems=tuple(problems),
            bytes=count,
            warnings=(*outcome.warnings, *self.warnings),
            exit_code=exit_code,
            seconds=time.perf_counter() - started,
        )

    @property
    def made(self) -> Made:
        """What a stamp has to know."""
        outputs = [self.path(export) / name for export in self.exports for name in self._outputs.names(self.path(export))]
        read = [path for export in self.exports for path in command.files_of(export, self._project.where.root)]
        read += () if self.options.no_check or not self.exports else self.gate.places(export.of for export in self.exports)
        return Made(self._stand, tuple(outputs), tuple(read), {form: maker(form) for form in {export.format for export in self.exports}})

    def _stand(self) -> bool:
        return all(map(self._outputs.known, self._paths))

    def _make(self, export: Export, target: Target) -> int:
        """Make an export unless it stands; return the bytes that were written."""
        path, model = self.path(export), target.path.stat()
        root = read_manifest(target.path).root
        small = {name: read_small(target.path / name) for name in read_manifest(target.path).files if is_beside(name)}
        identity = identity_of(export, root, small, self._project.where.root)
        stands = not self.options.force and self._stands(export, identity)
        if not (stands and self.options.no_check):
            self._ask(export)
        if stands:
            return 0
        self._report(Exporting(export.name, export.of, f"{export.format} {export.type}".strip()))
        files.make_directory(path.parent, durable=True)
        files.recover(path)
        sweep(path)
        preflight.refuse_without_room({path.parent: self.nbytes(export)})
        staged = path.parent / f".{path.name}{STAGED}{files.random_name()}"
        try:
            make(export, target.path, root, staged, self._project.where.root, self.options.jobs or os.cpu_count() or 1)
            self._refuse_mixture(export, target, model)  # it may have taken hours
            refuse_foreign_export(path, self._outputs.names(path))
            stats = place(staged, path, root)
        except Unexportable as error:
            raise self._worded(export, error, Exit.ACTION_FAILED) from None
        finally:
            if not at_work():  # else a thread waits for a disk, and still writes there
                with contextlib.suppress(OSError):  # of two errors the first one tells
                    files.remove_tree(staged)
        self._outputs.remember(path, identity, stats, {})
        self._report(Published(export.name, str(path), len(stats)))
        return sum(size for _, _, size, _ in stats.values())

    def _refuse_mixture(self, export: Export, target: Target, model: os.stat_result) -> None:
        """Refuse what may be made of two models: another build put its output in the place of the one that was read.

        Raises:
            ModelbuildError: exit 5.

        """
        if not target.path.is_dir() or not os.path.samestat(model, target.path.stat()):
            what = f"`{export.of}` was replaced while `{export.name}` was made of it"
            raise ModelbuildError(Problem(what, facts=(str(target.path),), hint="build again when no other build writes it"), Exit.SOURCE)

    def _ask(self, export: Export) -> None:
        """Have the checks of its target pass, be the export new or not; what stands where they do not is left, and that is said."""
        try:
            self.gate.ask(export.of)
        except ModelbuildError:
            if self._is_there(export):
                self.warnings.append(f"`{export.name}` stands as it was made before: {self.path(export)}")
                self._report(Warned(self.warnings[-1]))
            raise

    def _worded(self, export: Export, error: Unexportable, exit_code: Exit = Exit.USAGE) -> ModelbuildError:
        return ModelbuildError(self._problem(export, f"`{export.name}`: {error.what}", error.key, error.facts, error.hint), exit_code)

    def _problem(self, export: Export, what: str, key: str, facts: tuple[str, ...], hint: str) -> Problem:
        return self._project.modelfile.locator.problem(what, (*export.path, key), facts=facts, hint=hint)

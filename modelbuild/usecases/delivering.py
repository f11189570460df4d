"""Exports of targets brought up to date: made anew where the target, the definition or the maker changed, and only there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from blake3 import blake3

from modelbuild import files
from modelbuild.cache import Cache
from modelbuild.cache.outputs import OutputTable
from modelbuild.checkpoint.config import json_text
from modelbuild.digest import KEY_FORMAT, encode
from modelbuild.engine.publish import MANIFEST, Content, is_here, read_manifest, refuse_foreign, sweep
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Exporting, Published, Report, Warned
from modelbuild.exports import command
from modelbuild.exports.forms import FORMS, maker
from modelbuild.exports.subject import Standing, Subject, Unexportable, is_beside
from modelbuild.modelfile.model import Export
from modelbuild.names import real
from modelbuild.plan import Plan, Target
from modelbuild.reading import is_regular, read_small
from modelbuild.sources.hub import is_hub
from modelbuild.usecases.outcome import BuiltTarget, Bytes, Options, Outcome
from modelbuild.usecases.project import Project

_MAGIC, _OURS = b"GGUF", b"modelbuild.root"


@dataclass(frozen=True, slots=True)
class Made:
    """What a stamp has to know of exports.

    Args:
        outputs: the files that were written.
        read: the files of converters.
        makers: what changes when a form does, by form.

    """

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
        names: what is asked for; none means the default targets.
        options: of the build.
        report: told of what happens.

    """

    def __init__(self, project: Project, plan: Plan, cache: Cache, names: Sequence[str], options: Options, report: Report) -> None:
        """Choose the exports among what is asked for."""
        self._project, self._plan, self.options, self._report = project, plan, options, report
        self._outputs = OutputTable(cache.index)
        self.exports = project.exports(names)
        self.warnings: list[str] = []
        self._passed: set[str] = set()

    def path(self, export: Export) -> Path:
        """Return where an export stands."""
        return self._project.where.root / export.place

    def refuse(self) -> None:
        """Refuse what cannot be made, before any work, as far as the files that go along with targets are here.

        Raises:
            ModelbuildError: exit 2, or 8 where something stands that modelbuild did not make.

        """
        _distinct(self._project, self.exports)
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
                warnings = _check(Subject.planned(self._plan.targets[export.of]), export)
            except Unexportable as error:
                raise self._worded(export, error) from None
            self.warnings += (f"`{export.name}`: {warning}" for warning in warnings)
        for warning in self.warnings:
            self._report(Warned(warning))

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
        path = self.path(export)
        if not self._outputs.names(path) or not self._outputs.known(path):
            return "it is not there, or was touched"
        return f"`{export.of}`, its own definition or what makes it changed"

    def _stands(self, export: Export, identity: str) -> bool:
        names = self._outputs.names(self.path(export))
        return bool(names) and self._outputs.stands(self.path(export), identity, names)

    def deliver(self, outcome: Outcome, started: float) -> Outcome:
        """Make the exports of the targets that were built; return the outcome with them in it."""
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
        return Made(tuple(outputs), tuple(read), {form: maker(form) for form in {export.format for export in self.exports}})

    def _make(self, export: Export, target: Target) -> int:
        """Make an export unless it stands; return the bytes that were written."""
        path = self.path(export)
        root = read_manifest(target.path).root
        small = {name: read_small(target.path / name) for name in read_manifest(target.path).files if is_beside(name)}
        identity = identity_of(export, root, small, self._project.where.root)
        if not self.options.force and self._stands(export, identity):
            return 0
        self._gate(export.of)
        self._report(Exporting(export.name, export.of, f"{export.format} {export.type}".strip()))
        files.make_directory(path.parent, durable=True)
        files.recover_directory(path)
        sweep(path)
        staged = path.parent / f".{path.name}.modelbuild-{files.random_name()}"
        try:
            self._write(export, Standing.at(target.path), root, staged)
            names = _published(staged, path, root)
        except Unexportable as error:
            raise self._worded(export, error, Exit.ACTION_FAILED) from None
        finally:
            with contextlib.suppress(OSError):  # of two errors the first one tells
                files.remove_tree(staged)
        self._outputs.remember(path, identity, names, {})
        self._report(Published(export.name, str(path), len(names)))
        return sum((path / name).stat().st_size for name in names)

    def _gate(self, target: str) -> None:
        """Have the checks of a target pass before the first of its exports is made."""
        from modelbuild.usecases.testing import gate

        if target not in self._passed:
            gate(self._project.where, (target,), replace(self.options, force=False), self._report, no_check=self.options.no_check)
            self._passed.add(target)

    def _write(self, export: Export, standing: Standing, root: str, staged: Path) -> None:
        jobs = self.options.jobs or os.cpu_count() or 1
        if export.converter:
            command.run(export, standing.path, staged, self._project.where.root)
        elif export.format == "gguf":
            from modelbuild.exports.gguf.writing import write

            write(standing, export, root, staged, jobs)
        elif export.format == "int8":
            from modelbuild.exports import integers

            integers.write(standing, staged)
        else:
            from modelbuild.exports import checkpoint

            checkpoint.write(standing, export, staged)

    def _worded(self, export: Export, error: Unexportable, exit_code: Exit = Exit.USAGE) -> ModelbuildError:
        return ModelbuildError(self._problem(export, f"`{export.name}`: {error.what}", error.key, error.facts, error.hint), exit_code)

    def _problem(self, export: Export, what: str, key: str, facts: tuple[str, ...], hint: str) -> Problem:
        return self._project.modelfile.locator.problem(what, (*export.path, key), facts=facts, hint=hint)


def _check(subject: Subject, export: Export) -> tuple[str, ...]:
    if export.converter:
        return ()
    if export.format == "gguf":
        from modelbuild.exports.gguf.writing import check

        return check(subject, export)
    if export.format == "int8":
        from modelbuild.exports import integers

        return integers.check(subject)
    from modelbuild.exports import checkpoint

    return checkpoint.check(subject, export)


def _published(staged: Path, path: Path, root: str) -> tuple[str, ...]:
    """Put what was made at its name, where stood the old or nothing; return its files, of a file by itself the name ""."""
    if not staged.is_dir():
        if path.is_dir() and not path.is_symlink():
            aside = path.with_name(f".{path.name}.old-{files.random_name()}")
            files.rename(path, aside)
            files.rename(staged, path)
            files.remove_tree(aside)
        else:
            files.rename(staged, path)
        files.sync_directory(path.parent)
        return ("",)
    names = sorted({*(entry.name for entry in staged.iterdir()), MANIFEST})
    manifest = staged / MANIFEST
    if manifest.exists():  # a converter copied the model's
        files.unlink(manifest)
    files.write_new(manifest, json_text({"made_by": "modelbuild", "format": 1, "root": root, "files": names, "tensors": {}}))
    if is_regular(path):
        files.unlink(path)
    files.publish_directory(staged, path)
    return tuple(names)


def refuse_foreign_export(path: Path, known: Collection[str]) -> None:
    """Refuse to replace what modelbuild did not make.

    Args:
        path: where an export stands, or is to stand.
        known: the files that are known to have been published there.

    Raises:
        ModelbuildError: exit 8.

    """
    if path.is_dir() or path.is_symlink() or not path.exists():
        refuse_foreign(path, known)
        return
    if "" in known or (is_regular(path) and _says_it_is_ours(path)):
        return
    facts = ("an export is to be written there",)
    raise ModelbuildError(Problem(f"`{path}` is a file that modelbuild did not write", facts=facts, hint="move it away"), Exit.UNSAFE)


def _says_it_is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096)
    return start.startswith(_MAGIC) and _OURS in start


def _distinct(project: Project, exports: Sequence[Export]) -> None:
    """Refuse exports that would replace a source, the cache, an output or each other."""
    where, modelfile = project.where, project.modelfile
    sources = [source for source in modelfile.read.values() if not is_hub(source.location)]
    read = {real(where.root / source.location): f"source `{source.name}`" for source in sources}
    read[real(where.file)] = "the Modelfile"
    taken = {real(project.cache_directory): "the cache"}
    outputs = {name: merge.output.path or f"out/{name}" for name, merge in modelfile.merges.items()}
    taken |= {real(where.root / path): f"the output of `{name}`" for name, path in outputs.items()}
    for export in exports:
        path = real(where.root / export.place)
        over = [who for other, who in (read | taken).items() if path == other or path in other.parents]
        within = [who for other, who in taken.items() if other in path.parents]
        if over or within:
            what = f"the export `{export.name}` would {'overwrite' if over else 'lie within'} {(over or within)[0]}"
            raise ModelbuildError(modelfile.locator.problem(what, (*export.path, "path"), facts=(str(path),), hint="choose another `path`"))
        taken[path] = f"the export `{export.name}`"

"""The forms by one name each: what can be told of an export before work, and how it is written."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from modelbuild.engine.crew import work
from modelbuild.engine.workspace import Interrupted
from modelbuild.exports import command
from modelbuild.exports.subject import Foreseen, Standing, Subject
from modelbuild.modelfile.model import Export


def foresee(subject: Subject, export: Export) -> Foreseen:
    """Refuse what cannot be made, before any work; return what can be told of the rest.

    Raises:
        Unexportable: if the form has no place for the model.

    """
    if export.converter:
        return Foreseen()
    if export.format == "gguf":
        from modelbuild.exports.gguf import writing

        return writing.foresee(subject, export)
    if export.format == "int8":
        from modelbuild.exports import integers

        return integers.foresee(subject)
    from modelbuild.exports import checkpoint

    return checkpoint.foresee(subject, export)


def make(export: Export, model: Path, root: str, path: Path, directory: Path, jobs: int) -> None:
    """Write a model in another form, synced.

    What writes is a thread of its own, for a disk may keep it: Ctrl-C is waited for no longer than in a build of tensors.

    Args:
        export: how.
        model: the directory of the model.
        root: of its tensors.
        path: where nothing stands yet.
        directory: the one that converters run in.
        jobs: threads.

    Raises:
        ModelbuildError: if it fails.
        Unexportable: if it turns out that the form has no place for the model.
        KeyboardInterrupt: with a thread that goes on for a while where `at_work` says so.

    """
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise Interrupted

    if export.converter:
        command.run(export, model, path, directory)
        task = partial(command.secure, export, path)
    else:
        task = partial(_write, export, Standing.at(model, check), root, path, jobs)
    failed = work((task,), 1, stopped.set, _nothing, keep_going=False)
    if failed:
        raise failed[0]


def _nothing() -> None:
    """Let the thread go: it holds nothing of its own."""


def _write(export: Export, standing: Standing, root: str, path: Path, jobs: int) -> None:
    if export.format == "gguf":
        from modelbuild.exports.gguf.writing import write

        write(standing, export, root, path, jobs)
    elif export.format == "int8":
        from modelbuild.exports import integers

        integers.write(standing, path)
    else:
        from modelbuild.exports import checkpoint

        checkpoint.write(standing, export, path)

"""Commands of the user's: whatever measures a model and can write a number."""

from __future__ import annotations

import os
import subprocess
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import files, programs
from modelbuild.checks.measured import Measured, Part
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.reading import parse_object, read_small

if TYPE_CHECKING:
    from modelbuild.checks.loading import Subject
    from modelbuild.modelfile.evaluation import Command

_TAIL = 2000
"""Bytes of what a command printed last that are shown when it failed."""
_MOST = 1_000_000
"""Bytes of scores."""


def command(subject: Subject, how: Command, root: Path, directory: Path) -> Measured:
    """Run a command on a model, in a directory of its own.

    Args:
        subject: the model.
        how: the command.
        root: the directory of the Modelfile, `{root}`.
        directory: an empty directory, which goes afterwards.

    Raises:
        ModelbuildError: exit 1 if it cannot be run, fails, takes too long, or writes something that is no score.

    """
    scores, output = directory / "scores.json", directory / "output.txt"
    told = {"model": str(subject.path.resolve()), "name": subject.name, "root": str(root.resolve()), "scores": str(scores)}
    words = programs.filled(how.words, told)
    environment = {**os.environ, **{f"MODELBUILD_{name.upper()}": value for name, value in told.items()}}
    descriptor = files.open_new(output)
    try:
        with programs.running(words, directory, environment=environment, output=descriptor) as process:
            code = process.wait(how.timeout)
    except OSError as error:
        raise _failed(subject, words, f"{error.strerror}: {error.filename}") from None
    except subprocess.TimeoutExpired:
        raise _failed(subject, words, f"it took longer than {how.timeout} s") from None
    finally:
        os.close(descriptor)
    if code:
        raise _failed(subject, words, f"it ended with {code}", *_last_lines(output))
    try:
        return _scores(scores)
    except (OSError, ValueError, OverflowError) as error:
        raise _failed(subject, words, f"its scores cannot be read: {error}") from None


def own_files(how: Command, root: Path) -> dict[str, Path]:
    """Return the files among the words of a command, by word: when one of them changes, so may what it measures.

    Args:
        how: the command.
        root: the directory of the Modelfile, `{root}`.

    """
    named = {word.replace("{root}", str(root.absolute())): word for word in how.words}
    among = programs.files_among((filled for filled in named if Path(filled).is_absolute()), root)
    return {named[word]: path for word, path in among.items()}


def _scores(path: Path) -> Measured:
    """Read the scores: `{"score": NUMBER}`, with `stderr` where it is known; or none, where the exit code says it all."""
    if not path.exists():
        return Measured()
    table = parse_object(read_small(path, _MOST))
    match table.get("score"):
        case bool():
            raise ValueError("`score` is no number")
        case int() | float() as score:
            if not isfinite(score):
                raise ValueError("`score` is no finite number")
            error = table.get("stderr")
            known = isinstance(error, int | float) and isfinite(error)
            return Measured({"score": Part(float(score), error=float(error) if known and error is not None else nan)})
    raise ValueError("there is no `score` that is a number")


def _last_lines(path: Path) -> tuple[str, ...]:
    data = path.read_bytes()[-_TAIL:].decode(errors="replace")
    return tuple(plain(line, 200) for line in data.splitlines()[-5:] if line.strip())


def _failed(subject: Subject, words: list[str], *facts: str) -> ModelbuildError:
    what = f"`{plain(' '.join(words), 200)}` did not measure `{subject.name}`"
    return ModelbuildError(Problem(what, facts=facts), Exit.ACTION_FAILED)

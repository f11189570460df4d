"""A check made ready: what its result depends on, as a key, and how to get it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3
from msgspec import Struct

from modelbuild import files
from modelbuild.checks import harness, weights
from modelbuild.checks.command import command, own_files
from modelbuild.checks.generation import generate
from modelbuild.checks.loading import Loaded, Subject
from modelbuild.checks.measured import Measured
from modelbuild.checks.perplexity import predict
from modelbuild.checks.texts import read_text
from modelbuild.digest import KeyHasher, Value
from modelbuild.errors import ModelbuildError, Problem
from modelbuild.modelfile.evaluation import Check, Command, Generation, Harness, Prediction
from modelbuild.names import is_glob, plain

REVISIONS: Mapping[str, int] = {"loads": 1, "finite": 1, "generate": 1, "perplexity": 1, "lm_eval": 1, "command": 2}
"""Raised by hand where a kind of check gives other results than before."""

_BY_MODEL = ("torch", "transformers", "tokenizers")
_HARNESS: Mapping[str, tuple[str, ...]] = {
    "loads": ("transformers",),
    "generate": _BY_MODEL,
    "perplexity": _BY_MODEL,
    "lm_eval": (*_BY_MODEL, "lm_eval", "datasets"),
}
"""The packages whose versions a result depends on, by kind."""


class Measure(Struct, frozen=True):
    """A check as it is measured; bounds and patterns are no part of it, for they change no measurement.

    Args:
        check: what is measured.
        root: the directory that paths of it start from.
        inputs: digests of the files that it reads, by the names they were given.
        device: where models compute: cpu or cuda:N.
        device_class: what results depend on of that.
        name: how talk calls it.

    """

    check: Check
    root: Path
    inputs: tuple[tuple[str, str], ...]
    device: str
    device_class: str
    name: str = ""

    def key(self, subject: Subject) -> str:
        """Return the key of the measurement of a model."""
        hasher = KeyHasher("measurement")
        kind = self.check.kind
        hasher.field("kind", kind)
        hasher.field("revision", REVISIONS[kind])
        hasher.field("model", subject.digest)
        hasher.field("definition", definition(self.check))
        hasher.field("inputs", self.inputs)
        hasher.field("harness", tuple((name, harness.version(name)) for name in _HARNESS.get(kind, ())))
        hasher.field("device", self.device_class)
        return hasher.key()

    def measure(self, loaded: Loaded, scratch: Path) -> Measured:
        """Measure a model; `scratch` is where a command may have a directory of its own.

        Raises:
            ModelbuildError: exit 1 if it cannot be measured.

        """
        how, dtype = self.check.how, self.check.dtype
        match how:
            case Generation():
                return generate(loaded, how, dtype)
            case Prediction():
                texts = tuple(text for path in how.texts for text in read_text(self.root / path, how.tensors))
                return predict(loaded, texts, how, dtype)
            case Harness():
                return harness.evaluate(loaded, how, self.root, dtype)
            case Command():
                directory = scratch / f".check-{files.random_name()}"
                files.make_directory(directory)
                try:
                    return command(loaded.subject, how, self.root, directory.resolve())
                finally:
                    files.remove_tree(directory)
        return weights.finite(loaded.subject) if self.check.kind == "finite" else weights.loads(loaded.subject)


def prepare(check: Check, root: Path, device: str) -> Measure:
    """Make a check ready: read and digest the files that it names.

    Args:
        check: as written.
        root: the directory of the Modelfile.
        device: cpu or cuda:N.

    Raises:
        ModelbuildError: exit 2 if a file is missing or makes no sense, or lm-eval is not installed.

    """
    how = check.how
    if isinstance(how, Prediction):
        for text in how.texts:
            read_text(root / text, how.tensors)  # so that what is wrong with it is said before any work
    elif isinstance(how, Harness):
        harness.required()
    inputs = {name: _digest(path) for name, path in files_read(check, root).items()}
    model_free = check.kind in ("loads", "finite", "command")
    return Measure(check, root, tuple(sorted(inputs.items())), device, "" if model_free else _class_of(device), check.name)


def files_read(check: Check, root: Path) -> dict[str, Path]:
    """Return the files that a check reads, by the names that its key has for them.

    Raises:
        ModelbuildError: exit 2 if one is missing, or makes no sense.

    """
    how = check.how
    match how:
        case Prediction():
            return {text: root / text for text in how.texts}
        case Harness():
            named = filter(harness.is_file, how.tasks)
            return {f"{task} {name}": path for task in named for name, path in _files_of(root / task, root).items()}
        case Command():
            found = {path.relative_to(root).as_posix(): path for pattern in how.files for path in _named(check, root, pattern)}
            return found | {word.removeprefix("{root}/"): path for word, path in own_files(how, root).items()}
    return {}


def places_read(check: Check, root: Path) -> tuple[Path, ...]:
    """Return the files that a check reads, and the directories in which another one would be read as well."""
    found, how = files_read(check, root), check.how
    looked = isinstance(how, Harness) or (isinstance(how, Command) and any(map(is_glob, how.files)))
    return (*found.values(), *dict.fromkeys(path.parent for path in found.values() if looked))


def _named(check: Check, root: Path, pattern: str) -> list[Path]:
    found = _matching(root, pattern)
    if not found:
        facts = (f"the command of `{check.name}` depends on it",)
        raise ModelbuildError(Problem(f"no file is called `{plain(pattern)}`", facts=facts, hint="correct `files`"))
    return found


def _files_of(task: Path, root: Path) -> dict[str, Path]:
    try:
        return harness.files_of(task, root)
    except (OSError, ValueError) as error:
        raise ModelbuildError(
            Problem(f"`{task}` cannot be read as a task", facts=(str(error),), hint="correct `tasks`, or the file")
        ) from None


def _matching(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in root.glob(pattern) if path.is_file())
    except (NotImplementedError, ValueError, OSError) as error:
        hint = "a pattern starts from the directory of the Modelfile"
        raise ModelbuildError(Problem(f"`{plain(pattern)}` is no pattern", facts=(str(error),), hint=hint)) from None


def _digest(path: Path) -> str:
    try:
        return blake3(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelbuildError(Problem(f"`{path}` cannot be read", facts=(str(error.strerror),), hint="correct the permissions")) from None


def definition(check: Check) -> Value:
    """Return what is measured, apart from the files that it reads."""
    how = check.how
    match how:
        case Generation():
            return tuple(prompt.text for prompt in how.prompts), how.max_new_tokens, how.chat, check.dtype
        case Prediction():
            return how.texts, how.tensors, how.window, how.stride, how.metric, check.dtype
        case Harness():
            return how.tasks, how.limit, how.shots, how.metric, how.batch_size, check.dtype
        case Command():
            return (how.words,)
    return ()


def _class_of(device: str) -> str:
    """Return what results depend on of a device: the model of a GPU, not its number."""
    if device == "cpu":
        return device
    import torch

    return str(torch.cuda.get_device_name(device))

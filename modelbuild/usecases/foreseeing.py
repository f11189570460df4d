"""What can be told of exports before any work, remembered: to ask the architecture for it takes an import of torch."""

from __future__ import annotations

import json

from blake3 import blake3

from modelbuild.cache import Cache
from modelbuild.digest import KeyHasher
from modelbuild.exports.forms import maker
from modelbuild.exports.making import foresee
from modelbuild.exports.subject import Foreseen, Subject
from modelbuild.modelfile.model import Export
from modelbuild.plan import Target


class Foresight:
    """Foresees exports; what comes of it rests on everything but the values of tensors.

    Args:
        cache: remembers what was foreseen of an export that could be made.

    """

    def __init__(self, cache: Cache) -> None:
        """Foresee nothing yet."""
        self._cache = cache
        self._learned: dict[str, Foreseen] = {}

    def of(self, target: Target, export: Export) -> Foreseen:
        """Return what can be told of an export; the files that go along with its target have to be here.

        Raises:
            Unexportable: if the form has no place for the model.

        """
        subject = Subject.planned(target)
        if export.converter:
            return foresee(subject, export)
        key = _key(subject, export)
        match self._cache.answers.get_many((key,)).get(key):
            case {"nbytes": int(nbytes), "warnings": list(warnings)}:
                return Foreseen(nbytes, tuple(map(str, warnings)))
        self._learned[key] = foresee(subject, export)
        return self._learned[key]

    def remember(self) -> None:
        """Store what was learned."""
        for key, foreseen in self._learned.items():
            self._cache.answers.put(key, {"nbytes": foreseen.nbytes, "warnings": list(foreseen.warnings)})
        self._learned.clear()


def _key(subject: Subject, export: Export) -> str:
    from importlib import metadata

    hasher = KeyHasher("foreseen")
    hasher.field("maker", (maker(export.format), metadata.version("transformers")))
    hasher.field("definition", (export.format, export.type, export.pre_tokenizer, export.scales))
    hasher.field("config", json.dumps(subject.config, sort_keys=True, default=str))
    hasher.field("tensors", tuple((name, dtype, tuple(shape)) for name, (dtype, shape) in subject.tensors.items()))
    hasher.field("small", tuple((name, blake3(data).hexdigest()) for name, data in sorted(subject.small.items())))
    return f"foreseen {hasher.key()}"

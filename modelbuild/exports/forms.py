"""The forms by name: what each rests on, so that an export is made again when that changed.  Imports nothing heavy."""

from __future__ import annotations

from importlib.util import find_spec

from msgspec import Struct


class Form(Struct, frozen=True):
    """A form.

    Args:
        revision: raised by hand when its bytes change.
        extra: the extra of modelbuild that installs what it needs, or "".
        packages: what has a say in its bytes, and is needed, as distributions are called.

    """

    revision: int
    extra: str = ""
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        return tuple(name for name in self.packages if find_spec(name) is None)


FORMS = {
    "gguf": Form(1, "gguf", ("gguf",)),
    "fp8": Form(1),
    "int8": Form(1, "torchao", ("torchao", "torch", "transformers")),
    "int4": Form(1),
    "command": Form(1),
}
"""By what `format` says."""


def maker(form: str) -> str:
    """Return what changes when a form does: its revision, and the versions of what it rests on."""
    from importlib import metadata

    made = FORMS[form]
    return " ".join([str(made.revision), *(f"{name} {metadata.version(name)}" for name in made.packages if find_spec(name))])

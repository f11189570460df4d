"""Exports bound: each is of a merge, and stands for it where merges are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from modelbuild.errors import Problem
from modelbuild.modelfile.checks import COMBINATION, EXTRACTION
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.modelfile.model import Modelfile


def unbound(modelfile: Modelfile) -> Iterator[Problem]:
    """Yield what is wrong with what exports are of."""
    for export in modelfile.exports.values():
        path = (*export.path, "of")
        if export.of not in modelfile.merges:
            what, facts, hint = misnamed(export.of, f"no merge is called `{export.of}`", modelfile.merges)
            if export.of in modelfile.sources:
                facts = (f"`{export.of}` is a source",)
                hint = f'write `[merge.NAME]` with `method = "passthrough"` and `inputs = ["{export.of}"]`, and export that'
            yield modelfile.locator.problem(what, path, facts=facts, hint=hint)
        elif modelfile.merges[export.of].method in (EXTRACTION, COMBINATION) and export.format != "command":
            facts = (f"its result is a LoRA adapter, which {export.format} has no form for",)
            hint = "its output is what PEFT reads, as it is; export a merge that is a whole model"
            yield modelfile.locator.problem(f"`{export.of}` is no model", path, facts=facts, hint=hint)

"""`modules`: parts of a model merged each in its own way, as merges one after the other, each with its scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelbuild.mergekit.ledger import At, Ledger, Placed

_SCOPES = {
    "default": "", "text_decoder": "text", "vision_tower": "vision", "vision_model": "vision", "audio_tower": "audio",
    "encoder": "encoder", "decoder": "decoder",
}  # fmt: skip
"""What mergekit's architectures call their parts; any other is a word of the names of its tensors."""

_READS = ("", "text")
"""Scopes that hold the rows of tokens."""

_TOKENS = ("tokenizer", "vocabulary")


def chained(
    ledger: Ledger, name: str, parts: Mapping[str, dict[str, Any]], modules: At, rest: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield merges of parts one after the other, each of which hands on what it does not merge; the last is called `name`.

    Args:
        ledger: what is said.
        name: of the document's merge.
        parts: what each module merges.
        modules: where they stand.
        rest: types and tokens.

    """
    scopes = {module: _SCOPES.get(module, module) for module in parts}
    whole = [module for module, scope in scopes.items() if not scope]
    if whole and len(parts) > 1:
        ledger.say(modules[whole[0]], f"`{whole[0]}` is all of a model that has one module", hint="remove it, or the others")
    frames = {module: _frame(part) for module, part in parts.items()}
    others = [module for module, frame in frames.items() if frame != next(iter(frames.values()))]
    if others:
        facts = tuple(f"`{module}` begins with `{frame}`" for module, frame in frames.items())
        hint = "let all modules have the same base, or name the same model first"
        ledger.say(modules[others[0]], "these modules are not merged into one model", facts, hint)
    if "tokenizer" in rest and not any(scope in _READS for scope in scopes.values()):
        ledger.say(modules, "no module here holds the rows of tokens", hint="leave the tokenizer out")
    if not whole:
        ledger.note(modules, "parts of the models that no module names are those of the first model; mergekit leaves them out")
    before = ""
    for i, (module, part) in enumerate(parts.items()):
        own = name if i == len(parts) - 1 else f"{name}-{module}"
        more = {key: value for key, value in rest.items() if key not in _TOKENS or scopes[module] in _READS}
        scope = {"scope": Placed(scopes[module], modules[module])} if scopes[module] else {}
        yield own, {**(_renamed(part, frames[module], before) if before else part), **scope, **more}
        before = own


def _frame(part: Mapping[str, Any]) -> str:
    """Return the model that the result of a part is called like: its base, or the first that it names."""
    if "base" in part:
        return str(part["base"].value)
    named = [one for key in ("inputs", "slices") if key in part for one in part[key].value][:1]
    return next((name for one in named for name in _models(one)), "")


def _models(told: Any) -> Iterator[str]:
    told = told.value if isinstance(told, Placed) else told
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict):
        if "model" in told:
            yield from _models(told["model"])
        for one in told["inputs"].value if "inputs" in told else ():
            yield from _models(one)


def _renamed(told: Any, old: str, new: str) -> Any:
    """Return a merge, or a piece of one, that reads `new` wherever it read `old`."""
    if isinstance(told, Placed):
        return Placed(_renamed(told.value, old, new), told.at)
    if isinstance(told, list):
        return [Placed(new, one.at) if isinstance(one, Placed) and one.value == old else _renamed(one, old, new) for one in told]
    if isinstance(told, dict):
        names = ("base", "model")
        return {
            key: Placed(new, one.at) if key in names and isinstance(one, Placed) and one.value == old else _renamed(one, old, new)
            for key, one in told.items()
        }
    return told

"""A model card's text: front matter for the hub, and a page for people."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

import modelbuild
from modelbuild.lockfile import to_text
from modelbuild.modelfile.model import Gradient, Input, Merge, Scalar, Setting
from modelbuild.names import human_bytes
from modelbuild.sources.hub import PREFIX
from modelbuild.usecases.cardfacts import CardFacts, Parent
from modelbuild.usecases.flowchart import mermaid
from modelbuild.usecases.licences import UNKNOWN
from modelbuild.usecases.published import LOCK, MODELFILE

_MARK = re.compile(r"\n<!-- card by modelbuild, sha256 ([0-9a-f]{64}) of what stands above -->\n?\Z")
_VERDICTS = {True: "passed", False: "failed", None: "measured"}
_PIPELINES = {
    "ForCausalLM": ("text-generation", "AutoModelForCausalLM"),
    "ForConditionalGeneration": ("", "AutoModel"),
    "ForSequenceClassification": ("text-classification", "AutoModelForSequenceClassification"),
    "ForMaskedLM": ("fill-mask", "AutoModelForMaskedLM"),
    "ForImageClassification": ("image-classification", "AutoModelForImageClassification"),
}
"""The hub's task and the class of transformers, by what the name of an architecture ends in."""


def text(facts: CardFacts) -> str:
    """Write a card; its last line tells whether somebody has edited it since."""
    from huggingface_hub import ModelCard

    body = "\n".join(line.rstrip() for line in _body(facts))
    page = str(ModelCard(f"---\n{_head(facts)}\n---\n\n{body}\n"))
    return page + f"\n<!-- card by modelbuild, sha256 {_digest(page)} of what stands above -->\n"


def is_own(page: str) -> bool:
    """Tell whether a card is as modelbuild wrote it."""
    match = _MARK.search(page)
    return match is not None and match[1] == _digest(page[: match.start()])


def is_bare(page: str) -> bool:
    """Tell whether a card says nothing beside its front matter, as those do that a hub makes with a repository."""
    return not re.sub(r"\A\s*---\s*\n.*?\n---\s*(\n|\Z)", "", page, flags=re.DOTALL).strip()


def _digest(page: str) -> str:
    return hashlib.sha256(page.encode()).hexdigest()


def _head(facts: CardFacts) -> str:
    """Write the front matter."""
    from huggingface_hub import ModelCardData

    base = list(dict.fromkeys(one.repo for one in facts.parents if one.repo))
    architectures = _architectures(facts)
    library = None if facts.alone else "peft" if facts.adapter else "transformers" if "model_type" in facts.config else None
    data = ModelCardData(
        base_model=base or None,
        library_name=library,
        license=facts.licence.licence,
        license_name=re.sub(r"[^\w.+-]+", "-", facts.licence.name).strip("-") or None,
        pipeline_tag=_fitting(architectures)[0] or None,
        tags=["merge", "modelbuild", *(["mergekit"] if facts.imported else [])],
    )
    if base:
        data["base_model_relation"] = "merge"
    return data.to_yaml()


def _architectures(facts: CardFacts) -> tuple[str, ...]:
    named = facts.config.get("architectures")
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list | tuple) else ()


def _fitting(architectures: tuple[str, ...]) -> tuple[str, str]:
    return next((what for ending, what in _PIPELINES.items() for one in architectures if one.endswith(ending)), ("", "AutoModel"))


def _body(facts: CardFacts) -> Iterator[str]:
    yield f"# {facts.repo.partition('/')[2] or facts.target}"
    yield ""
    yield from _what(facts)
    yield from ("", "## Made of", "")
    yield from _parents(facts)
    yield from ("", "## Graph", "", "```mermaid", mermaid(facts.graph), "```")
    yield from ("", "## Parameters", "")
    for merge in facts.merges:
        yield from _merge(merge)
    if facts.checks:
        yield from ("", "## Checks", "", "| check | result | |", "|---|---|---|")
        yield from (f"| {_words(one.name)} | {_words('; '.join(one.said))} | {_VERDICTS[one.passed]} |" for one in facts.checks)
    if not facts.alone:
        yield from ("", "## Use", "")
        yield from _use(facts)
    yield from ("", "## Rebuild", "")
    yield from _rebuild(facts)
    yield from ("", "## Modelfile", "", *_fenced(facts.recipe.modelfile, "toml"))
    if facts.locked:
        yield from (
            "",
            "## Lock",
            "",
            f"<details><summary>{LOCK}</summary>",
            "",
            *_fenced(to_text(facts.recipe.lock), "toml"),
            "",
            "</details>",
        )


def _what(facts: CardFacts) -> Iterator[str]:
    kind, merges = "LoRA adapter" if facts.adapter else "model", len(facts.merges)
    what = f"the recipe of a {kind}" if facts.alone else f"a {kind}"
    steps = f"{merges} merges" if merges > 1 else f"one merge (`{facts.merges[0].method}`)"
    others = "1 other" if len(facts.parents) == 1 else f"{len(facts.parents)} others"
    yield (
        f"This is {what} that was made of {others} by {steps}, with modelbuild {modelbuild.__version__}. "
        f"It has {facts.tensors} tensors, {human_bytes(facts.nbytes)} of {', '.join(facts.dtypes)}."
    )
    if facts.root:
        yield f"The digest over its tensors is `{facts.root}`."


def _parents(facts: CardFacts) -> Iterator[str]:
    yield from ("| model | from | digest | licence |", "|---|---|---|---|")
    for one in facts.parents:
        digest = f"`{one.root}`" if one.root else ""
        yield f"| `{one.name}` | {_place(one)} | {digest} | {_words(one.licence) or UNKNOWN} |"
    licence = facts.licence
    yield ""
    if licence.licence == UNKNOWN:
        yield "Not every parent's licence is known, so none is named for this model."
    elif len({one.licence for one in facts.parents}) > 1:
        yield f"Their licences are not one: {_words(licence.name)}. What this model may be used for, their texts say."
    else:
        yield f"All parents are under {_words(licence.name or licence.licence)}."
    if licence.warnings:
        yield ""
    yield from (f"- {_words(warning, keep='`')}" for warning in licence.warnings)


def _place(one: Parent) -> str:
    if not one.repo:
        return "local files"
    return f"{one.repo} at `{one.commit[:12]}`" if one.commit else one.repo


def _merge(merge: Merge) -> Iterator[str]:
    """Write what a merge does, as it stands in the Modelfile."""
    base = f", base `{merge.base}`" if merge.base else ""
    yield f"- `{merge.name}`: `{merge.method}`{base}{_settings(merge.params)}"
    for one in merge.inputs:
        yield f"  - {_input(one)}"
    for part in merge.slices:
        yield f"  - {' with '.join(map(_input, part.inputs))}{_settings(part.params)}"
    for expert in (*merge.mixture.experts, *merge.mixture.shared):
        yield f"  - expert `{expert.model}`"


def _input(one: Input) -> str:
    layers = f", layers {one.layers[0]} to {one.layers[1] - 1}" if one.layers else ""
    return f"`{one.model}`{layers}{_settings(one.params)}"


def _settings(params: object) -> str:
    table: dict[str, Setting] = dict(params)  # type: ignore[call-overload]
    return "".join(f", {name} {_setting(setting)}" for name, setting in table.items())


def _setting(setting: Setting) -> str:
    told = []
    for rule in setting:
        where = [f"in `{rule.filter}`"] if rule.filter else []
        where += [f"in layers {rule.layers[0]} to {rule.layers[1] - 1}"] if rule.layers else []
        told.append(" ".join([_value(rule.value), *where]))
    return ", else ".join(told)


def _value(value: Scalar | Gradient) -> str:
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _use(facts: CardFacts) -> Iterator[str]:
    place, branch = facts.repo or f"out/{facts.target}", f', revision="{facts.branch}"' if facts.branch else ""
    if facts.adapter:
        code = ["from peft import AutoPeftModelForCausalLM", "", f'model = AutoPeftModelForCausalLM.from_pretrained("{place}"{branch})']
    else:
        loader = _fitting(_architectures(facts))[1]
        code = [f"from transformers import {loader}{', AutoTokenizer' if facts.tokenizer else ''}", ""]
        code.append(f'model = {loader}.from_pretrained("{place}"{branch}, dtype="auto")')
        if facts.tokenizer:
            code.append(f'tokenizer = AutoTokenizer.from_pretrained("{place}"{branch})')
    yield from ("```python", *code, "```")


def _rebuild(facts: CardFacts) -> Iterator[str]:
    here = [one.name for one in facts.parents if not one.repo and "(" not in one.name]
    mirrors = "".join(f" --source {name}=PATH" for name in here)
    address = f"{PREFIX}{facts.repo}{f'@{facts.branch}' if facts.branch else ''}"
    first = f"modelbuild build {address}{mirrors}" if facts.repo else f"modelbuild build --locked {facts.target}{mirrors}"
    yield "```console"
    yield f"$ {first}"
    yield "```"
    yield ""
    if facts.repo:
        yield f"It takes `{MODELFILE}` and `{LOCK}` from here; `modelbuild build --locked {facts.target}` in a copy does the same."
    yield "What comes out is held against the digests of the lock: it is the same bytes, or an error that says what differs."
    if here:
        yield f"Of {', '.join(f'`{name}`' for name in here)} the lock has the digests; whoever has the files names their directories."


def _fenced(text: str, language: str) -> tuple[str, str, str]:
    """Put a text into a fence that nothing in it ends."""
    text = text.replace("\r\n", "\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}", text.rstrip("\n"), fence


def _words(text: str, keep: str = "") -> str:
    """Write a text from elsewhere so that nothing in it is taken for markup, but for the marks in `keep`."""
    return "".join(f"\\{char}" if char in "\\`*[]<>|&" and char not in keep else char for char in " ".join(text.split()))

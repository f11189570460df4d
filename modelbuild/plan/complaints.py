"""What is wrong with a node once all its tensors were looked at: shapes, types, rules that match nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from modelbuild.errors import did_you_mean, some
from modelbuild.modelfile.model import Rule
from modelbuild.names import KeyPath
from modelbuild.plan.facts import differing
from modelbuild.plan.part import SlicePart
from modelbuild.plan.resolve import Spot, unmatched


class Complaint(NamedTuple):
    """A problem before it has a place."""

    what: str
    path: KeyPath
    facts: tuple[str, ...]
    hint: str


def unfitting(unfit: Mapping[tuple[SlicePart, int], Sequence[Spot]], told: Sequence[str]) -> Iterator[Complaint]:
    """Say which models have tensors of other shapes than the first; of those `told` something was said already."""
    for (part, i), spots in unfit.items():
        lead, other = part.models[0], part.models[i]
        names = [spot.name for spot in spots if spot.name not in told]
        if not names:
            continue
        shown = [name for name in names[:1] if name in lead.tensors and name in other.tensors]
        facts = (
            f"{some(names)} {'has' if len(names) == 1 else 'have'} different shapes",
            *(
                f"`{name}` is {list(lead.tensors[name].shape)} in `{lead.name}` and {list(other.tensors[name].shape)} in `{other.name}`"
                for name in shown
            ),
            *differing(lead, other),
        )
        yield Complaint(f"`{lead.name}` and `{other.name}` do not fit together", part.bound.path, facts, "merge models of one shape")


def quantised(parts: Sequence[SlicePart], eighths: Mapping[SlicePart, Sequence[str]]) -> Iterator[Complaint]:
    """Say which models hold numbers that mean something with scales alone; `eighths` are tensors of 8 bits."""
    for part in parts:
        kinds = {model.name: model.config.get("quantization_config") for model in part.models}
        tables = {name: kind for name, kind in kinds.items() if isinstance(kind, dict)}
        facts = [f"`{name}` is quantised by {kind.get('quant_method', 'a method')}" for name, kind in tables.items()]
        names = eighths.get(part, ())
        facts += [f"{some(names)} {'is' if len(names) == 1 else 'are'} stored as float8"] if names else []
        if facts and len({model.name for model in part.models}) > 1:
            hint = "merge the models that they were made from, or dequantise them first: stacking layers as they are is possible"
            yield Complaint("quantised models cannot be merged", part.bound.path, tuple(facts), hint)


def idle(parts: Sequence[SlicePart], node: str) -> Iterator[Complaint]:
    """Say which rules matched nothing anywhere."""
    found: dict[KeyPath, Rule] = {}
    matched: set[KeyPath] = set()
    for part in parts:
        for chain in part.chains:
            without = {rule.path: rule for rule in unmatched(chain, part.spots)}
            found |= without
            matched |= {rule.path for setting in chain for rule in setting} - without.keys()
    for path in matched:
        found.pop(path, None)
    spots = (spot for part in parts for spot in part.spots) if found else ()
    words = {word for spot in spots for word in spot.name.split(".") if not word.isdigit()}
    for path, rule in found.items():
        if rule.filter:
            within = f" in layers {list(rule.layers)}" if rule.layers else ""
            what = f"the filter `{rule.filter}` matches no tensor{within}"
            usual = "a filter is a glob over whole parts of a name, such as `self_attn` or `mlp.*_proj`"
            facts = (f"names have these parts: {', '.join(sorted(words))}",)
            yield Complaint(what, (*path, "filter"), facts, did_you_mean(rule.filter, words) or usual)
        else:
            what = f"the rule's layers {list(rule.layers or ())} are none of `{node}`"
            yield Complaint(what, (*path, "layers"), (), "layers are numbered as in the output")

"""Nodes that are no merges of tensors, bound: mixtures of experts, and LoRA adapters as results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from modelbuild.errors import did_you_mean
from modelbuild.graph.model import Node
from modelbuild.modelfile.checks import COMBINATION, EXTRACTION, MIXTURE, SOUP
from modelbuild.modelfile.model import Merge
from modelbuild.modelfile.schema import MergeTable
from modelbuild.modelfile.tables import keys_of

if TYPE_CHECKING:
    from modelbuild.graph.bind import Binder


def mixture(binder: Binder, merge: Merge) -> Node | None:
    """Bind a mixture of experts."""
    before, mixed = len(binder.problems), merge.mixture
    binder.model(merge.base, (*merge.path, "base"))
    for one in (*mixed.experts, *mixed.shared):
        binder.model(one.model, (*one.path, "model"))
        if mixed.gate != "random" and one in mixed.experts and not one.positive:
            hint = 'add `positive_prompts = [ … ]`, or write `gate = "random"`'
            binder.say(f"the expert `{one.model}` has no prompts", one.path, facts=(f'gate = "{mixed.gate}" goes by them',), hint=hint)
    if mixed.per_token > len(mixed.experts):
        facts, hint = (f"{mixed.per_token} of {len(mixed.experts)} experts",), "give a smaller number"
        binder.say("a token has more experts than there are", (*merge.path, "experts_per_token"), facts=facts, hint=hint)
    for name in merge.params:
        hint = did_you_mean(name, keys_of(MergeTable))
        binder.say(f"unknown key `{name}`", (*merge.path, name), key=True, facts=("a mixture has no parameters",), hint=hint)
    if merge.tokenizer.settles:
        hint = "unite vocabularies in a merge that is the base here"
        binder.say("a mixture has the tokens of its base", (*merge.path, "tokenizer"), key=True, hint=hint)
    return binder.bound_node(merge, ()) if len(binder.problems) == before else None


def adapter(binder: Binder, merge: Merge) -> Node | None:
    """Bind a node whose result is a LoRA adapter."""
    before = len(binder.problems)
    unused = {"slices": merge.slices, "embed": merge.embed, "head": merge.head, "scope": merge.scope, "vocabulary": merge.common}
    unused["tokenizer"] = merge.tokenizer.settles or merge.tokenizer.chat_template
    unused["base"] = merge.base if merge.method == COMBINATION else ""
    for key in (key for key, value in unused.items() if value):
        binder.say(f"`{merge.method}` has no `{key}`", (*merge.path, key), key=True, hint="remove it")
    if merge.method == EXTRACTION:
        if not merge.base:
            binder.say(f"`{EXTRACTION}` needs a base", merge.path, hint="add `base = …`: what the adapter is to be added to")
        if len(merge.inputs) != 1:
            binder.say(f"`{EXTRACTION}` takes 1 input, not {len(merge.inputs)}", (*merge.path, "inputs"), hint="write a merge for each")
    roles = [(merge.base, (*merge.path, "base"))] if merge.base else []
    for name, path in (*roles, *((one.model, (*one.path, "model")) for one in merge.inputs)):
        binder.model(name, path)
    own = ("rank",) if merge.method == EXTRACTION else ("rank", "combine")
    beside = ("weight",) if merge.method == COMBINATION else ()
    for table, path, known in ((merge.params, merge.path, own), *((one.params, one.path, beside) for one in merge.inputs)):
        for name in (name for name in table if name not in known):
            facts = (f"known here: {', '.join(known)}",) if known else ()
            binder.say(f"unknown key `{name}`", (*path, name), key=True, facts=facts, hint=did_you_mean(name, known))
    return binder.bound_node(merge, ()) if len(binder.problems) == before else None


def soup(binder: Binder, merge: Merge) -> Node | None:
    """Bind a greedy soup as the mean of all its inputs: which of them are in it stands in the lock, and is for the build to say."""
    before = len(binder.problems)
    if merge.slices or merge.base:
        key = "slices" if merge.slices else "base"
        binder.say(f"`{SOUP}` has no `{key}`", (*merge.path, key), key=True, hint="it has `inputs`, whole models")
    for name in (name for name in merge.params if name != "check"):
        facts, hint = ("known here: check",), did_you_mean(name, ("check", *keys_of(MergeTable)))
        binder.say(f"unknown key `{name}`", (*merge.path, name), key=True, facts=facts, hint=hint)
    for one in merge.inputs:
        for name in one.params:
            facts = ("all that is in a soup counts the same",)
            binder.say(f"unknown key `{name}`", (*one.path, name), key=True, facts=facts, hint="remove it")
    return binder.node(replace(merge, method="linear", params={})) if len(binder.problems) == before else None


PRODUCTS = {MIXTURE: mixture, EXTRACTION: adapter, COMBINATION: adapter, SOUP: soup}
"""What binds a node, by what it has for a method."""

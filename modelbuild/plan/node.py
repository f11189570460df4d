"""One node planned: its output tensors, each an action or an input's bytes handed on, checked from headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from modelbuild.checkpoint.anatomy import Anatomy, Part
from modelbuild.checkpoint.config import Config, Inexpressible, Taken, with_layers
from modelbuild.checkpoint.dtypes import ARITHMETIC, EIGHTHS
from modelbuild.errors import Problem, some
from modelbuild.graph import Node
from modelbuild.modelfile.locate import Locator
from modelbuild.names import KeyPath
from modelbuild.plan.actions import Action, Ref, Survey, rounded, scaled_apart, surveyed
from modelbuild.plan.complaints import idle, quantised, unfitting
from modelbuild.plan.facts import differing
from modelbuild.plan.fitting import Fitted, fitted, with_own_head
from modelbuild.plan.model import Model
from modelbuild.plan.part import SlicePart
from modelbuild.plan.resolve import Spot, Unset
from modelbuild.plan.templates import with_template
from modelbuild.plan.vocabulary import aligned, vocabulary_tensors

Key = tuple[tuple[str, Any], ...]


class Planned(Struct, frozen=True, dict=True):
    """What became of a node: its model, or the problems that keep it from being one."""

    model: Model
    actions: tuple[Action, ...]
    equal: tuple[tuple[str, tuple[Ref, ...]], ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def plan_node(node: Node, models: Mapping[str, Model], locator: Locator, root: Path) -> Planned:
    """Plan one node whose inputs are planned; a chat template's path is relative to `root`."""
    planner = _Planner(node, models, locator, root)
    model = planner.whole() if node.whole else planner.stacked()
    planner.look_back()
    return Planned(model, tuple(planner.actions), tuple(planner.equal), tuple(planner.problems), tuple(planner.warnings))


class _Planner:
    def __init__(self, node: Node, models: Mapping[str, Model], locator: Locator, root: Path) -> None:
        self.node, self.models, self.locator, self.root = node, models, locator, root
        self.actions: list[Action] = []
        self.equal: list[tuple[str, tuple[Ref, ...]]] = []
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.aside: dict[str, Action] = {}
        self.fit: Fitted = fitted(node, models)
        self.equal += self.fit.equal
        self.warnings += self.fit.warnings
        self.vocabulary = aligned(node, self.fit.views, models, self.fit.donor, locator)
        self.problems += self.vocabulary.problems
        self.warnings += self.vocabulary.warnings
        self.actions += self.vocabulary.steps
        self.parts = [SlicePart(part, self.vocabulary.views) for part in node.slices]
        self.surveys: dict[tuple[SlicePart, Key], Survey] = {}
        self.unfit: dict[tuple[SlicePart, int], list[Spot]] = {}
        self.eighths: dict[SlicePart, list[str]] = {}

    def say(self, what: str, path: KeyPath, *, facts: tuple[str, ...] = (), hint: str = "") -> None:
        problem = self.locator.problem(what, path, facts=facts, hint=hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def whole(self) -> Model:
        """Merge whole models tensor by tensor."""
        part, merge, anatomy = self.parts[0], self.node.merge, self.fit.anatomy
        tensors: dict[str, Ref] = {}
        if self.in_scope() and self.alike(part):
            named = {which for which, name in ((Part.EMBEDDING, merge.embed), (Part.HEAD, merge.head)) if name}
            tensors = {
                name: self.tensor(part, self.spot(anatomy, name), [model.tensors[name] for model in part.models])
                for name in part.lead.tensors
                if not named or anatomy.end_of(name) not in named
            }
            tensors |= self.ends(Part.EMBEDDING, merge.embed, part, None) if merge.embed else {}
            tensors |= self.ends(Part.HEAD, merge.head, part, None) if merge.head else {}
            tensors |= self.outside()
        return self.model(tensors, self.fit.own_anatomy(anatomy), self.fit.donor.config)

    def in_scope(self) -> bool:
        """Check that the scope is somewhere in every model."""
        for name in self.fit.empty:
            self.say(
                f"the scope `{self.node.merge.scope}` matches no tensor of `{name}`",
                (*self.node.merge.path, "scope"),
                facts=(f"its layers are called {', '.join(stack.prefix for stack in self.models[name].anatomy.stacks)}",),
                hint="a scope is text, vision, audio, encoder, decoder, or a glob over names",
            )
        return not self.fit.empty

    def outside(self) -> dict[str, Ref]:
        """Hand on what is not in scope."""
        return {name: self.handed_on(name, ref, ref.dtype) for name, ref in self.fit.outside.items()}

    def alike(self, part: SlicePart) -> bool:
        """Check that all models of a part have the same tensors; say what differs if not."""
        before = len(self.problems)
        for other in part.models[1:]:
            lead = part.lead
            if other.anatomy.layers != lead.anatomy.layers:
                self.say(
                    f"`{lead.name}` and `{other.name}` have different numbers of layers",
                    part.bound.path,
                    facts=(
                        f"`{lead.name}` has {lead.anatomy.layers} layers and `{other.name}` {other.anatomy.layers}",
                        *differing(lead, other),
                    ),
                    hint="take slices of the same length",
                )
                continue
            facts = tuple(
                f"{some(names)} {'is' if len(names) == 1 else 'are'} in `{has.name}` and not in `{lacks.name}`"
                for has, lacks in ((lead, other), (other, lead))
                if (names := [name for name in has.tensors if name not in lacks.tensors])
            )
            if facts:
                self.say(
                    f"`{lead.name}` and `{other.name}` do not have the same tensors",
                    part.bound.path,
                    facts=(*facts, *differing(lead, other)),
                    hint="merge models of one architecture",
                )
        return len(self.problems) == before

    def stacked(self) -> Model:
        """Stack slices: embeddings and other towers from the first, final norm and head from the last."""
        merge = self.node.merge
        tensors: dict[str, Ref] = {}
        sound = [self.in_range(part) for part in self.parts]
        if not (self.in_scope() and all(sound)):
            return self.model({}, self.fit.anatomy, {})
        spans, depth = [], 0
        for part in self.parts:
            spans.append((depth, depth + part.depth))
            depth += part.depth
        anatomy = self.fit.anatomy.with_depth(depth)
        taken: list[Taken] = []
        tensors |= self.ends(Part.EMBEDDING, merge.embed, self.parts[0], spans[0]) | self.ends(None, "", self.parts[0], None)
        for part, span in zip(self.parts, spans, strict=True):
            for i in range(part.depth):
                taken.append(Taken(part.lead.config, anatomy.main.prefix, part.first_layers[0] + i))
                for name in part.lead.names_at(part.first_layers[0] + i, first=span[0] + i == 0):
                    refs = self.layer_refs(part, name, i)
                    if refs:
                        moved = anatomy.moved(part.lead.anatomy.within_layer(name), span[0] + i)
                        tensors[moved] = self.tensor(part, self.spot(anatomy, moved, span), refs)
        tensors |= self.ends(Part.HEAD, merge.head, self.parts[-1], spans[-1])
        tensors |= self.outside()
        floats = {ref.dtype for ref in tensors.values() if ref.dtype in ARITHMETIC}
        if len(floats) > 1 and not merge.dtype and not merge.output.dtype:
            self.warnings.append(f"`{self.node.name}` mixes tensors of {' and '.join(sorted(floats))}; `dtype` rounds them to one type")
        config = self.fit.donor.config
        try:
            config = with_layers(config, anatomy.main.prefix, taken) if config else {}
        except Inexpressible as error:
            self.say("no config.json says what these layers are", (*merge.path, "slices"), facts=(str(error),), hint="take other layers")
        return self.model(tensors, self.fit.own_anatomy(anatomy), config)

    def in_range(self, part: SlicePart) -> bool:
        """Check the layers that a slice names against the models that have them."""
        before = len(self.problems)
        for one in part.bound.inputs:
            has = self.vocabulary.views[one.model].anatomy.layers
            first, stop = one.layers or (0, 0)
            if stop > has:
                self.say(
                    f"the slice `layers = [{first}, {stop}]` is out of range",
                    (*one.path, "layers"),
                    facts=(f"`{one.model}` has {has} layers",),
                    hint=f"end it at {has}",
                )
            elif stop - first != part.depth:
                self.say(
                    "the inputs of a slice have different numbers of layers",
                    (*one.path, "layers"),
                    facts=(f"{part.depth} and {stop - first}",),
                    hint="give each as many",
                )
        return len(self.problems) == before

    def layer_refs(self, part: SlicePart, name: str, i: int) -> list[Ref]:
        """Find the tensors of all models of a slice that correspond to `name`, a tensor of the lead's i-th layer taken."""
        lead, refs = part.lead, []
        for model, first in zip(part.models, part.first_layers, strict=True):
            own = name if name in lead.first_only else model.anatomy.moved(lead.anatomy.within_layer(name), first + i)
            ref = model.tensors.get(own)
            if ref is None:
                self.say(
                    f"`{lead.name}` and `{model.name}` do not have the same tensors",
                    part.bound.path,
                    facts=(f"`{own}` is not in `{model.name}`",),
                    hint="merge models of one architecture",
                )
                return []
            refs.append(ref)
        return refs

    def ends(self, which: Part | None, named: str, part: SlicePart, span: tuple[int, int] | None) -> dict[str, Ref]:
        """Take what stands before or after the layers, or in another stack: from the model named, else as the slice merges it."""
        if named:
            donor = self.vocabulary.views[named]
            return {name: self.handed_on(name, ref) for name, ref in donor.tensors.items() if donor.anatomy.end_of(name) is which}
        lead, found = part.lead, {}
        for name in (name for name in lead.tensors if lead.anatomy.end_of(name) is which):
            refs = [model.tensors.get(name) for model in part.models]
            if None in refs:
                lacking = part.models[refs.index(None)].name
                self.say(
                    f"`{lead.name}` and `{lacking}` do not have the same tensors",
                    part.bound.path,
                    facts=(f"`{name}` is not in `{lacking}`",),
                    hint="merge models of one architecture",
                )
                continue
            found[name] = self.tensor(part, self.spot(lead.anatomy, name, span), [ref for ref in refs if ref is not None])
        return found

    def spot(self, anatomy: Anatomy, name: str, span: tuple[int, int] | None = None) -> Spot:
        """Return where a tensor stands; the layers of another stack than the main one are numbered by themselves."""
        stack, layer = anatomy.place_of(name)
        part = anatomy.part_of(name) if stack < 0 else Part.LAYERS
        own = (0, anatomy.stacks[max(0, stack)].layers if anatomy.stacks else 0)
        return Spot(name, part, layer, span if span and stack <= 0 else own)

    def tensor(self, part: SlicePart, spot: Spot, refs: Sequence[Ref]) -> Ref:
        """Make the action of one output tensor, or hand an input on."""
        part.spots.append(spot)
        lead, shape = refs[0], refs[0].shape
        if not self.fits(part, spot, refs):
            return lead
        if lead.dtype not in ARITHMETIC:
            if any(ref is not lead for ref in refs):
                self.equal.append((f"{self.node.name}::{spot.name}", tuple(refs)))
            return lead
        method = part.bound.method
        try:
            params, key = part.params_at(spot)
        except Unset as error:
            self.say(
                f"`{error}` has no value for `{spot.name}`",
                (*self.node.merge.path, str(error)),
                hint="end the rules with one that has no `filter` and no `layers`",
            )
            return lead
        wrong = part.wrong(key, params)
        if wrong:
            hint = f"`modelbuild methods {method.name}` shows what it takes"
            self.say(f"`{method.name}` cannot merge these inputs", part.bound.path, facts=(wrong,), hint=hint)
            return lead
        base, inputs = (lead, tuple(refs[1:])) if part.bound.base else (None, tuple(refs))
        dtype = self.node.merge.dtype or lead.dtype
        alias = method.alias(params, len(inputs))
        if alias is not None:
            return self.handed_on(spot.name, inputs[alias], dtype)
        action = Action(self.node.name, spot.name, method, key, base, inputs, dtype, shape, self.node.seed, lenient=self.node.merge.lenient)
        if method.survey and method.survey.wanted(params):
            action = self.after_survey(part, action)
        if method.scaled_by:
            vector, action = scaled_apart(action)
            self.aside[vector.tensor] = vector
            self.actions.append(vector)
        self.actions.append(action)
        return action

    def fits(self, part: SlicePart, spot: Spot, refs: Sequence[Ref]) -> bool:
        """Tell whether tensors can be merged; `look_back` says what cannot."""
        shape = refs[0].shape
        for i, ref in enumerate(refs):
            if ref.shape != shape:
                self.unfit.setdefault((part, i), []).append(spot)
                return False
            if ref.dtype in EIGHTHS and len(refs) > 1:
                self.eighths.setdefault(part, []).append(spot.name)
                return False
        return True

    def after_survey(self, part: SlicePart, action: Action) -> Action:
        """Add a tensor to the survey of all that are merged like it, and have its action wait for that."""
        empty = surveyed(self.node.name, action.method, action.params, len(action.inputs))
        survey = self.surveys.setdefault((part, empty.params), empty)
        if survey is empty:
            self.aside[f"{empty.tensor} {len(self.surveys)}"] = survey
            self.actions.append(survey)
        survey.parts.append(action)
        return replace(action, survey=survey)

    def handed_on(self, name: str, ref: Ref, dtype: str = "") -> Ref:
        """Take a tensor as it is, rounded if the node has another type."""
        dtype = dtype or self.node.merge.dtype or ref.dtype
        if ref.dtype == dtype or ref.dtype not in ARITHMETIC:
            return ref
        self.actions.append(rounded(self.node.name, name, ref, dtype, lenient=self.node.merge.lenient))
        return self.actions[-1]

    def look_back(self) -> None:
        """Say what did not fit, or else which rules matched nothing anywhere."""
        told = self.parts[0].models[0] if self.vocabulary.problems else None
        found = [*unfitting(self.unfit, vocabulary_tensors(told) if told else ()), *quantised(self.parts, self.eighths)]
        if not self.problems and not found:
            found = list(idle(self.parts, self.node.name))
        for one in found:
            self.say(one.what, one.path, facts=one.facts, hint=one.hint)

    def model(self, tensors: Mapping[str, Ref], anatomy: Anatomy, config: Config) -> Model:
        config = self.vocabulary.config(with_own_head(config) if self.fit.untied else config) if config else config
        files = with_template(self.node, self.vocabulary.files or self.fit.donor.files, self.models, self.root)
        return Model(self.node.name, tensors, anatomy, config, files, self.aside)

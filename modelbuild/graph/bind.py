"""The Modelfile bound: names to sources and merges, merges to methods, values to parameters, all in building order.

Everything that can be said without opening a model is said here, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from modelbuild.errors import ModelbuildError, Problem, among, did_you_mean
from modelbuild.graph.exports import unbound
from modelbuild.graph.model import BoundInput, BoundSlice, Chain, Graph, Node
from modelbuild.graph.order import are_ordered, cycles, ordered
from modelbuild.graph.products import PRODUCTS
from modelbuild.graph.targets import knots, meaning, unknown
from modelbuild.method import REQUIRED, Method, Param
from modelbuild.methods import installed, is_installed, load
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.modelfile.model import MADE, Input, Merge, Modelfile, Rule, Setting, Slice
from modelbuild.modelfile.schema import InputTable, MergeTable, SliceTable
from modelbuild.modelfile.tables import keys_of
from modelbuild.names import KeyPath

_MOST_TOLD = 1_000
"""Problems after which no more are looked for: nobody reads more, and each takes time to be placed and worded."""


def bind(modelfile: Modelfile) -> Graph:
    """Bind a Modelfile.

    Raises:
        ModelbuildError: exit 2, with all problems in the order of the file.

    """
    binder = Binder(modelfile)
    nodes = [node for merge in modelfile.merges.values() if (node := binder.node(merge))]
    problems = binder.problems + list(islice(_unknown_targets(modelfile), _MOST_TOLD)) + list(_knots(modelfile))
    problems += list(islice(unbound(modelfile), _MOST_TOLD))
    if not (problems or are_ordered(modelfile, nodes)):
        problems += cycles(modelfile, nodes)
        nodes = nodes if problems else ordered(modelfile, nodes)
    if problems:
        raise ModelbuildError(sorted(problems, key=_place))
    return Graph(modelfile, {node.name: node for node in nodes}, tuple(dict.fromkeys((*modelfile.notes, *binder.notes))))


class Binder:
    """Binds one Modelfile, and collects what is wrong with it."""

    def __init__(self, modelfile: Modelfile) -> None:
        """Start with nothing wrong."""
        self.modelfile = modelfile
        self.known = {**modelfile.sources, **modelfile.merges}
        self.said: dict[Problem, None] = {}
        self.notes: list[str] = []

    def say(self, what: str, path: KeyPath, *, key: bool = False, facts: tuple[str, ...] = (), hint: str = "") -> None:
        """Note a problem, once."""
        # Once: a setting of the node is read for each input.
        self.said[self.modelfile.locator.problem(what, path, key=key, facts=facts, hint=hint)] = None

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, in the order in which it was found."""
        return list(self.said)

    def node(self, merge: Merge) -> Node | None:
        """Bind a merge, or say what is wrong with it."""
        if merge.method in PRODUCTS:
            return PRODUCTS[merge.method](self, merge)
        if not is_installed(merge.method):
            known = (*installed(), *PRODUCTS)
            hint = did_you_mean(merge.method, known)
            path = (*merge.path, "method")
            self.say(f"no merge method is called `{merge.method}`", path, facts=(f"installed: {', '.join(known)}",), hint=hint)
            return None
        method, before = load(merge.method), len(self.said)
        roles: dict[tuple[str, ...], str] = {("base",): merge.base, ("embed",): merge.embed, ("head",): merge.head}
        if merge.tokenizer.source not in ("base", "union"):
            roles["tokenizer", "source"] = merge.tokenizer.source
        roles |= {one.path[2:]: one.source for one in merge.tokenizer.tokens.values() if one.source not in MADE}  # type: ignore[misc]
        for key, name in roles.items():
            if name:
                self.model(name, (*merge.path, *key))
        if merge.slices:
            slices = [self.slice(merge, method, part) for part in merge.slices]
            if method.name != "passthrough" and all(map(_is_single, merge.slices)):
                self.say(
                    f"`{method.name}` has nothing to merge in `{merge.name}`",
                    (*merge.path, "method"),
                    facts=("every slice names one `model`, whose layers are handed on",),
                    hint='write `method = "passthrough"`, or give a slice `inputs`',
                )
        else:
            slices = [self.bound(merge, method, merge.inputs, merge.base, {}, (*merge.path, "inputs"))]
        self.unknown(method, merge.params, merge.path, keys_of(MergeTable))
        if merge.common and merge.tokenizer.settles:
            hint = "`common` goes by rows, `tokenizer` by tokens: keep one of them"
            self.say("`vocabulary` and `tokenizer` both say which rows are merged", (*merge.path, "vocabulary"), key=True, hint=hint)
        if len(self.said) > before:
            return None
        return self.bound_node(merge, tuple(slices))

    def bound_node(self, merge: Merge, slices: tuple[BoundSlice, ...]) -> Node:
        """Return a node whose parts are bound."""
        template = merge.tokenizer.chat_template
        seed = self.modelfile.seed if merge.seed is None else merge.seed
        return Node(merge, slices, seed, template if template in self.known else "")

    def slice(self, merge: Merge, method: Method, part: Slice) -> BoundSlice:
        """Bind a slice: of a single model its layers are handed on, of several they are merged by the node's method."""
        if _is_single(part):
            method = load("passthrough")
            if part.base:
                self.say("a slice of one model takes no base", (*part.path, "base"), key=True, hint="remove it, or give the slice `inputs`")
        elif part.base:
            self.model(part.base, (*part.path, "base"))
        self.unknown(method, part.params, part.path, keys_of(SliceTable))
        return self.bound(merge, method, part.inputs, part.base or merge.base, part.params, part.path)

    def bound(
        self, merge: Merge, method: Method, inputs: tuple[Input, ...], base: str, own: Mapping[str, Setting], path: KeyPath
    ) -> BoundSlice:
        """Bind what one method makes of some inputs; `own` are the parameters of a slice."""
        for one in inputs:
            self.model(one.model, (*one.path, "model"))
            self.unknown(method, one.params, one.path, keys_of(InputTable), per_input=True)
        inputs, base = self.based(method, inputs, base, path, (*merge.path, "base"))
        low, high = method.inputs
        if not low <= len(inputs) <= high:
            wanted = str(low) if low == high else f"at least {low}" if len(inputs) < low else f"at most {high}"
            self.say(
                f"`{method.name}` takes {wanted} input{'s' if wanted != '1' else ''}, not {len(inputs)}", path, hint="add or remove inputs"
            )
        params = merge.params if method.name == merge.method else {}

        def chain(param: Param, *settings: Setting | None) -> Chain:
            written = tuple(self.read(method, param, setting) for setting in settings if setting)
            default = () if param.default is REQUIRED else ((Rule(param.default, "", None, ()),),)  # type: ignore[arg-type]
            if not written and not default:
                where = inputs[0].path if param.per == "input" and len(inputs) == 1 else merge.path
                self.say(
                    f"`{method.name}` needs `{param.name}`",
                    where,
                    facts=(f"`{param.name}` is {param.kind_in_words} {param.range}".rstrip() + ", and has no default",),
                    hint=f"add `{param.name} = …`",
                )
            return (*written, *default)

        active = [param for param in method.params if not param.inert]
        bound_inputs = tuple(
            BoundInput(
                one.model,
                one.layers,
                {
                    param.name: chain(param, one.params.get(param.name), own.get(param.name), params.get(param.name))
                    for param in active
                    if param.per == "input"
                },
                one.path,
            )
            for one in inputs
        )
        return BoundSlice(
            method,
            base,
            bound_inputs,
            {param.name: chain(param, own.get(param.name), params.get(param.name)) for param in active if param.per == "node"},
            path,
        )

    def based(
        self, method: Method, inputs: tuple[Input, ...], base: str, path: KeyPath, base_path: KeyPath
    ) -> tuple[tuple[Input, ...], str]:
        """Settle the base: what differences are taken to, first among the inputs, or none."""
        if method.base == "required" and not base:
            self.say(f"`{method.name}` merges differences to a base, and none is named", path, hint="add `base = …`")
        if method.base in ("required", "optional"):
            deltas = tuple(one for one in inputs if one.model != base)
            if base and len(deltas) < len(inputs):
                self.notes.append(f"`{base}` is the base and its difference to itself is nothing: skipped as an input")
            return deltas, base
        if method.base == "first" and base:
            first = tuple(one for one in inputs if one.model == base)
            others = tuple(one for one in inputs if one.model != base)
            if not first and len(inputs) < method.inputs[0]:
                first = (Input(base, {}, inputs[0].layers if inputs else None, base_path),)
            elif not first:
                self.say(
                    f"the base `{base}` is not among the inputs of `{method.name}`",
                    base_path,
                    facts=(f"inputs: {', '.join(one.model for one in inputs)}",),
                    hint="name one of them",
                )
            return (*first, *others), ""
        if method.base == "none" and base and method.name != "passthrough":
            self.say(f"`{method.name}` takes no base", base_path, hint=f"name `{base}` among the inputs, or remove it")
        return inputs, ""

    def model(self, name: str, path: KeyPath) -> None:
        """Say so if no source or merge is called like that."""
        if name in self.known or len(self.said) >= _MOST_TOLD:
            return
        if name in self.modelfile.groups:
            stands = f"it stands for: {among(self.modelfile.groups[name])}"
            self.say(f"`{name}` is a group, and no model", path, facts=(stands,), hint="name one model")
        else:
            what, facts, hint = misnamed(name, f"no source or merge is called `{name}`", self.known)
            self.say(what, path, facts=facts, hint=hint)

    def unknown(self, method: Method, params: Mapping[str, Setting], path: KeyPath, own: Sequence[str], *, per_input: bool = False) -> None:
        """Say which parameters the method does not take; `own` are the keys that the table has whatever the method."""
        for name in params:
            if len(self.said) >= _MOST_TOLD:
                return
            param = method.param(name)
            if param is None:
                known = [one.name for one in method.params]
                facts = (f"`{method.name}` takes: {', '.join(known)}" if known else f"`{method.name}` takes no parameters",)
                self.say(f"unknown key `{name}`", (*path, name), key=True, facts=facts, hint=did_you_mean(name, (*known, *own)))
            elif per_input and param.per == "node" and not param.inert:
                self.say(
                    f"`{name}` of `{method.name}` is one value for all inputs",
                    (*path, name),
                    key=True,
                    hint="write it beside `method`, or in a slice, not beside one input",
                )
            elif param.inert:
                self.read(method, param, params[name])
                self.notes.append(f"`{name}` is accepted and has no effect")

    def read(self, method: Method, param: Param, setting: Setting) -> Setting:
        """Bring every value of a setting into the parameter's kind."""

        def rule(one: Rule) -> Rule:
            try:
                if isinstance(one.value, tuple):
                    if param.kind is not float:
                        raise ValueError(f"a gradient needs a parameter that is a number, and `{param.name}` is not")
                    outside = None if one.outside is None else float(param.read(one.outside))
                    return replace(one, value=tuple(float(param.read(value)) for value in one.value), outside=outside)
                if one.outside is not None:
                    raise ValueError("`outside` goes with a list of numbers, and this is one value")
                return replace(one, value=param.read(one.value))
            except ValueError as error:
                self.say(
                    f"`{param.name}` cannot have this value",
                    one.path,
                    facts=(str(error),),
                    hint=f"`modelbuild methods {method.name}` shows what it takes",
                )
                return one

        return tuple(map(rule, setting))


def _is_single(part: Slice) -> bool:
    """Tell whether a slice names one model rather than inputs."""
    return len(part.inputs) == 1 and part.path == part.inputs[0].path


def _place(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)


def _unknown_targets(modelfile: Modelfile) -> Iterator[Problem]:
    """Say what of `default` and of groups means no merge."""
    named = {("default",): modelfile.default} | {("group", group): members for group, members in modelfile.groups.items()}
    for path, names in named.items():
        for i, name in enumerate(names):
            if name not in modelfile.groups and next(meaning(modelfile, name), None) is None:
                what, _, _, facts, hint = unknown(modelfile, name)
                yield modelfile.locator.problem(what, (*path, i), facts=facts, hint=hint)


def _knots(modelfile: Modelfile) -> Iterator[Problem]:
    """Say which groups are members of themselves."""
    for knot in knots(modelfile):
        path = " -> ".join(f"`{name}`" for name in knot)
        yield modelfile.locator.problem(
            f"the group `{knot[0]}` is a member of itself", ("group", knot[0]), key=True, facts=(path,), hint="leave one of them out"
        )

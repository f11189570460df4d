"""Every parameter of every method: it is in the keys of the tensors it reaches, in no other, and only its value is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from modelbuild.method import REQUIRED, Method, Param
from modelbuild.methods import installed, load
from modelbuild.plan import Action, Ref, Survey
from modelbuild.stale import key_of
from modelbuild.usecases.project import Project as Planned
from tests.support.projects import Project

METHODS = [load(name) for name, point in installed().items() if point.module.startswith("modelbuild.")]
PARAMS = [pytest.param(method, param, id=f"{method.name}-{param.name}") for method in METHODS for param in method.params if not param.inert]
INERT = [pytest.param(method, param, id=f"{method.name}-{param.name}") for method in METHODS for param in method.params if param.inert]
everyone = pytest.mark.parametrize(("method", "param"), PARAMS)


def values(param: Param) -> Iterator[object]:
    """Yield values that a parameter may have, none of which hands an input on as it is."""
    if param.choices:
        yield from param.choices
    elif param.kind is bool:
        yield from (False, True)
    elif param.kind is int:
        low = max(int(param.low), 2) if param.low > float("-inf") else 2
        yield from (low, low + 1, low + 2)
    else:
        high = min(param.high, 1.0)
        yield from (0.5 * high, 0.25 * high, 0.125 * high)


def written(method: Method, models: list[str], given: dict[str, object], beside: tuple[str, object] | None = None) -> str:
    """Return a Modelfile of one merge; `beside` is a parameter and its value, of the second input alone."""
    lines = [f'[source.{model}]\nfrom = "{model}"' for model in ("base", "code", "math")]
    lines += ["[vars]", *(f"{name} = {toml(value)}" for name, value in given.items() if name == "spare")]
    lines += ["[merge.out]", f'method = "{method.name}"']
    lines += ['base = "base"'] if method.base == "required" else []
    extra = [f", {beside[0]} = {toml(beside[1])}" if beside and i == len(models) - 1 else "" for i in range(len(models))]
    lines += [f"inputs = [{', '.join(f'{{ model = {toml(model)}{more} }}' for model, more in zip(models, extra, strict=True))}]"]
    lines += [f"{name} = {toml(value)}" for name, value in given.items() if name != "spare"]
    return "\n".join(lines) + "\n"


def toml(value: object) -> str:
    """Write a value."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def models_of(method: Method) -> list[str]:
    """Return as many inputs as a method takes, two where it may."""
    return ["code", "math"][: min(2, method.inputs[1])]


def others(method: Method, param: Param) -> dict[str, object]:
    """Return a value for each other parameter, where it must have one or would hand an input on without."""
    return {
        one.name: next(values(one))
        for one in method.params
        if one is not param and (one.default is REQUIRED or (one.kind is float and one.name in ("density", "weight")))
    }


def key(ref: Ref) -> str:
    """Return the key of an action; a source's tensor, and a survey of many, go by their names."""
    return key_of(ref, tuple(map(key, ref.needs)), "") if isinstance(ref, Action) and not isinstance(ref, Survey) else ref.label


@pytest.fixture
def keys(project: Project):
    """Return a function from a Modelfile to the key of each tensor of its merge."""
    project.family()

    def keys_of(text: str) -> dict[str, str]:
        project.write(text)
        planned = Planned.open(project.where)
        tensors = planned.plan(["out"]).targets["out"].tensors
        actions = {name: ref for name, ref in tensors.items() if isinstance(ref, Action)}
        assert actions, text
        return {name: key(action) for name, action in actions.items()}

    return keys_of


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the tensors whose key differs."""
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


@everyone
def test_a_changed_value_changes_every_key_it_reaches_and_no_other(method: Method, param: Param, keys):
    first, second, *_ = values(param)
    given = others(method, param)
    models = models_of(method)
    plain = keys(written(method, models, {**given, param.name: first}))
    everywhere = keys(written(method, models, {**given, param.name: second}))
    in_mlp = keys(written(method, models, {**given, param.name: [{"filter": "mlp", "value": second}, {"value": first}]}))
    in_layer = keys(written(method, models, {**given, param.name: [{"layers": [1, 2], "value": second}, {"value": first}]}))

    assert set(plain) == moved(plain, everywhere)
    assert {name for name in plain if ".mlp." in name} == moved(plain, in_mlp)
    assert {name for name in plain if ".layers.1." in name} == moved(plain, in_layer)


@pytest.mark.parametrize(("method", "param"), [one for one in PARAMS if one.values[1].per == "input" and one.values[0].inputs[1] > 1])
def test_one_input_s_value_is_its_own(method: Method, param: Param, keys):
    """Beside an input and beside the method it says the same of that input, and nothing of the others."""
    first, second, *_ = values(param)
    given, models = others(method, param), models_of(method)
    plain = keys(written(method, models, {**given, param.name: first}))
    beside = keys(written(method, models, {**given, param.name: first}, (param.name, second)))

    assert set(plain) == moved(plain, beside)
    assert plain == keys(written(method, models, {**given, param.name: first}, (param.name, first)))


@everyone
def test_an_equal_value_written_otherwise_changes_no_key(method: Method, param: Param, keys):
    first, *_ = values(param)
    given, models = others(method, param), models_of(method)
    plain = keys(written(method, models, {**given, param.name: first}))
    ways: list[object] = ["${spare}", [{"value": first}], [{"filter": "mlp", "value": first}, {"value": first}]]
    ways += [[first, first]] if param.kind is float else []

    for way in ways:
        assert plain == keys(written(method, models, {**given, param.name: way, "spare": first})), way


@pytest.mark.parametrize(("method", "param"), [one for one in PARAMS if one.values[1].kind is float and one.values[1].high > 1])
def test_a_whole_number_is_the_same_number(method: Method, param: Param, keys):
    """2 and 2.0."""
    given, models = others(method, param), models_of(method)

    assert keys(written(method, models, {**given, param.name: 2})) == keys(written(method, models, {**given, param.name: 2.0}))


@pytest.mark.parametrize(("method", "param"), [one for one in PARAMS if one.values[1].default is not REQUIRED])
def test_a_default_written_out_changes_no_key(method: Method, param: Param, keys):
    given, models = others(method, param), models_of(method)
    if all(one is param for one in method.params if not one.inert) and method.alias({param.python_name: (param.default,)}, 1) is not None:
        pytest.skip("with its defaults the method hands the input on")

    assert keys(written(method, models, given)) == keys(written(method, models, {**given, param.name: param.default}))


@pytest.mark.parametrize(("method", "param"), INERT)
def test_what_has_no_effect_is_in_no_key(method: Method, param: Param, keys):
    given, models = others(method, param), models_of(method)

    assert keys(written(method, models, given)) == keys(written(method, models, {**given, param.name: True}))

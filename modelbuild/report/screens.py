"""What the commands that look print: status, show, methods and others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.names import SHORT, VARIANT, human_bytes
from modelbuild.report import variants
from modelbuild.report.explanations import STATES
from modelbuild.report.page import Look, table
from modelbuild.report.words import ANY_NUMBER, counted, listed

if TYPE_CHECKING:
    from modelbuild.usecases.catalogue import MethodView
    from modelbuild.usecases.fetching import FetchedSource
    from modelbuild.usecases.freshness import TargetStatus
    from modelbuild.usecases.inspect import ShownTarget, ShownTensor
    from modelbuild.usecases.pinning import LockView
    from modelbuild.usecases.pushing import Pushed
    from modelbuild.usecases.verifying import Verification

_MOST = 12
"""Tensors or facts that are told one by one."""


def status(found: Sequence[TargetStatus], look: Look) -> str:
    """Show each target with its state and, where it is stale, why."""
    tables = dict(variants.sweeps(found))
    apart = [one for one in found if one.name.partition(VARIANT)[0] not in tables]
    name = max((len(one.name) for one in apart), default=0)
    lines = []
    for one in apart:
        head, told = f"{one.name.ljust(name)}  {one.state}", f"  {_to_run(one)}" if one.state == "stale" else ""
        first, *rest = look.wrapped(f"{head}  {one.path}{told}", name + 4, first=0)
        painted = f"{one.name.ljust(name)}  {look.paint(STATES[one.state], one.state)}"
        lines += [first.replace(head, painted, 1), *rest]
        for reason in one.reasons:
            lines += look.wrapped(reason, name + 4, first=name + 2)
    for sweep, group in tables.items():
        lines.append(variants.status(sweep, group, look))
        for reason in dict.fromkeys(reason for one in group for reason in one.reasons):
            lines += look.wrapped(reason, 4, first=2)
    return "\n".join(lines)


def _to_run(one: TargetStatus) -> str:
    """Say how much of a target's work there is, and how much of it is another's as well."""
    if not (one.stale or one.shared):
        return "only to be written"
    elsewhere = f"; {one.shared} run{'s' if one.shared == 1 else ''} for another target" if one.shared else ""
    return f"{one.stale} of {counted(one.actions, 'action')} may run{elsewhere}"


def show(target: ShownTarget, look: Look) -> str:
    """Show a target file by file, then tensor by tensor."""
    lines = [f"{look.paint('bold', target.name)} -> {target.path}"]
    lines += table([(file, human_bytes(size)) for file, size in target.files.items()], look, indent=2)
    name = max((len(tensor.name) for tensor in target.tensors), default=0)
    dtype = max((len(tensor.dtype) for tensor in target.tensors), default=0)
    shapes = [f"[{', '.join(map(str, tensor.shape))}]" for tensor in target.tensors]
    if look.width and name + dtype + 4 + max(map(len, shapes), default=0) > look.width:
        name = dtype = 0  # columns do not fit
    lines.append("")
    for tensor, shape in zip(target.tensors, shapes, strict=True):
        lines += look.wrapped(f"{tensor.name.ljust(name)}  {tensor.dtype.ljust(dtype)}  {shape}".replace(", ", ",\u00a0"), 8, first=0)
        lines += _origin(tensor, look)
    return "\n".join(lines)


def _origin(tensor: ShownTensor, look: Look) -> list[str]:
    inputs = ", ".join(_short(label, tensor.name) for label in tensor.inputs)
    if not tensor.method:
        return look.wrapped(f"= {inputs}", 8, first=4)
    lines = look.wrapped(f"{tensor.method} of {inputs}", 8, first=4)
    if tensor.params:
        lines += look.wrapped(_params(tensor.params), 8)
    return [*lines, f"        key {tensor.key[:SHORT] if tensor.key else 'not known before its inputs are built'}"]


def _short(label: str, tensor: str) -> str:
    """Name the model alone where the tensor is called the same there."""
    return label.removesuffix(f"::{tensor}")


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_literal(value)}" for name, value in params.items())


def _literal(value: object) -> str:
    """Write a value as a Modelfile would."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


_HINT = "`modelbuild methods NAME` shows parameters, formula and source of one"
_PRODUCTS = "no merges of tensors, and on docs/modelfile.md: moe, extract_lora, merge_loras"


def methods(found: Sequence[MethodView], look: Look) -> str:
    """Show what methods there are, a line each."""
    rows = [(one.name, _first_sentence(one.text)) for one in found]
    return "\n".join([*table(rows, look), "", *look.wrapped(_HINT), *look.wrapped(_PRODUCTS)])


def method(one: MethodView, look: Look) -> str:
    """Show one method: what it does, what it takes, where it comes from."""
    lines = [look.paint("bold", one.name), *_paragraphs(one.source, look), "", *look.wrapped(_inputs(one)), *look.wrapped(_numbers(one))]
    if one.params:
        rows = [(name, kind, f"per {scope}", _default(default), limits) for name, kind, scope, default, limits in one.params]
        lines += ["", "parameters:", *table(rows, look, indent=2)]
    return "\n".join([*lines, "", *_paragraphs(one.text, look)])


def _paragraphs(text: str, look: Look) -> Iterator[str]:
    """Keep documentation as its author broke it, where that fits."""
    for line in text.strip().split("\n"):
        indent = len(line) - len(line.lstrip())
        yield from look.wrapped(line.lstrip(), indent, first=indent)


def _first_sentence(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _default(text: str) -> str:
    return text if text == "required" else f"default {text}"


def _inputs(one: MethodView) -> str:
    low, high = one.inputs
    count = f"{counted(low, 'input')}" if low == high else f"{low} or more inputs" if high >= ANY_NUMBER else f"{low} to {high} inputs"
    base = {
        "required": ", and a base",
        "first": "; the base is one of them, the first where none is named",
        "optional": "; where a base is named, differences to it are merged",
    }.get(one.base, "")
    return f"takes {count}{base}"


def _numbers(one: MethodView) -> str:
    merged = "differences to the base" if one.space == "delta" else "weights"
    return f"merges {merged}; {one.numerics}, revision {one.revision}; {listed(one.forms)} form"


def fetched(sources: Sequence[FetchedSource]) -> str:
    """Say what of each source on the hub is here now."""
    if not sources:
        return "nothing to fetch: no source that is read is on the hub"
    return "\n".join(
        f"{one.name} at {one.commit[:SHORT]}: {counted(len(one.files), 'file')}, {human_bytes(one.nbytes)}, "
        f"{one.brought} of them fetched now"
        for one in sources
    )


def pushed(view: Pushed, *, verbose: bool) -> str:
    """Say what was sent where, or would be; `verbose` names the files."""
    if view.state == "would build":
        return f"would build {view.target} first: what of it {view.to} lacks is not known before"
    kept = f", {counted(view.kept, 'file')} there already" if view.kept else ""
    if view.state == "unchanged":
        return f"{view.to} is up to date{kept}"
    lines = [f"  {name}  {human_bytes(size)}" for name, size in view.sent] + [f"  {name}  removed" for name in view.removed]
    did = "pushed" if view.state == "pushed" else "would push"
    removed = f", {len(view.removed)} removed" if view.removed else ""
    what = f"{counted(len(view.sent), 'file')}, {human_bytes(view.nbytes)}{kept}{removed}"
    made = ", in a new repository" if view.created else ""
    last = f"{did} {view.target} to {view.to}{f' at {view.commit[:SHORT]}' if view.commit else ''}{made}: {what}"
    return "\n".join([*(lines if verbose else ()), last])


def locked(view: LockView) -> str:
    """Say what became of the lock: first which files and tensors moved, and what that dirties."""
    lines = []
    for one in view.moved:
        lines.append(f"{one.source} moves from {one.before[:SHORT]} to {one.after[:SHORT]}")
        lines += [f"  file {file}" for file in one.files]
        lines += [f"  tensor {tensor}" for tensor in one.tensors[:_MOST]]
        lines += [f"  and {len(one.tensors) - _MOST} more tensors"] if len(one.tensors) > _MOST else []
    if view.dirtied:
        lines.append(f"no longer what was locked: {listed(view.dirtied)}")
    state = {"written": "wrote", "unchanged": "nothing changes in", "would change": "would write"}[view.state]
    return "\n".join([*lines, f"{state} {view.path}: {counted(view.sources, 'source')}, {counted(view.merges, 'merge')}"])


def verified(found: Verification) -> str:
    """Say what was checked, and what of it is not as it should be."""
    lines = []
    for finding in found.findings:
        lines.append(f"{finding.state}: {finding.what}")
        lines += [f"  {fact}" for fact in finding.facts[:_MOST]]
        lines += [f"  and {len(finding.facts) - _MOST} more"] if len(finding.facts) > _MOST else []
    checked = ", ".join(counted(number, kind) for kind, number in found.checked.items()) or "nothing"
    return "\n".join(
        [*lines, f"checked {checked}: {'all as it should be' if not found.findings else counted(len(found.findings), 'finding')}"]
    )

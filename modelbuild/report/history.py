"""What the commands that look back print: log, restore, diff, why."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modelbuild.names import SHORT, human_bytes
from modelbuild.report.explanations import change_lines
from modelbuild.report.page import Look, table
from modelbuild.report.words import alike, counted, gathered, listed, seconds

if TYPE_CHECKING:
    from modelbuild.cache.builds import PastBuild
    from modelbuild.engine.comparing import Difference
    from modelbuild.usecases.diffing import Comparison, UnlikeTensor
    from modelbuild.usecases.logbook import LoggedBuild
    from modelbuild.usecases.reaching import Reach
    from modelbuild.usecases.restoring import Restored

_FEW = 3
"""Outputs that are told one by one though the same is to be told of each."""

_STATES = {"built": "green", "fresh": "green", "failed": "red"}


def why(found: Reach, look: Look) -> str:
    """Show a path, what is read above what reads it."""
    if not found.path:
        return "\n".join(look.wrapped(f"{found.last} does not rest on {found.first}, nor {found.first} on {found.last}", 2, first=0))
    lines = look.wrapped(f"{found.last} rests on {found.first}:", 2, first=0)
    for i, stop in enumerate(found.path):
        arrow = "" if not i else ("`- " if look.ascii else "└─ ")
        read_as = f"  read as {stop.read_as}" if stop.read_as else ""
        first, *rest = look.wrapped(
            f"{arrow}{stop.name}  {stop.kind}{read_as}".replace(" ", "\u00a0", 1 if i else 0), 2 * (i + 1) + 5, first=2 * (i + 1)
        )
        head, name, told = first.partition(stop.name)
        lines.append(f"{head}{look.paint('bold', name)}{look.paint('faint', told)}")
        lines += [look.paint("faint", line) for line in rest]
    return "\n".join(lines)


def log(builds: Sequence[PastBuild], look: Look) -> str:
    """List builds, the latest first: what each was asked for, what it did, and what came out."""
    if not builds:
        none = "no build is in the log: it is kept in the cache, and starts with the next build that does anything"
        return "\n".join(look.wrapped(none, 2, first=0))
    lines = []
    for build in builds:
        first, *rest = look.wrapped(f"{build.id}  {_when(build.started)}  {_did(build)}", 10, first=0)
        lines += [first.replace(build.id, look.paint("yellow", build.id), 1), *rest]
        rows = [(output.name, output.state, output.identity[:SHORT], output.path) for output in build.outputs]
        lines += table(rows, look, indent=10)
        lines += look.wrapped(_asked(build), 12, first=10) if build.overrides else []
    return "\n".join(lines)


def logged(one: LoggedBuild, look: Look) -> str:
    """Show a build whole."""
    build = one.build
    head = f"build {build.id}"
    first, *rest = look.wrapped(f"{head}  {_when(build.started)}  modelbuild {build.version} on {build.device}", 2, first=0)
    lines = [first.replace(head, look.paint("bold", head), 1), *rest, *look.wrapped(_did(build), 2, first=0)]
    lines += look.wrapped(_asked(build), 2) if build.asked or build.overrides else []
    lines += [line for problem in build.problems for line in look.wrapped(f"failed: {problem}", 2, first=0)]
    for output in build.outputs:
        head, painted = f"{output.name}  {output.state}", look.paint("bold", output.name)
        first, *rest = look.wrapped(f"{head}  {output.path}", 2, first=0)
        lines += ["", first.replace(head, f"{painted}  {look.paint(_STATES.get(output.state, 'faint'), output.state)}", 1), *rest]
        if output.identity:
            rows = [("identity", _whole(output.identity, look)), ("root", _whole(output.root, look))]
            lines += table(rows, look, indent=2)
            lines += table([(file, f"pack {pack[:SHORT]}") for file, pack in output.weights.items()], look, indent=2)
            lines += table([(file, digest[:SHORT]) for file, digest in output.small.items()], look, indent=2)
    lines += ["", look.paint("bold", "sources"), *table([(name, _source(build, name)) for name in build.sources], look, indent=2)]
    rows = [(name, f"revision {revision}") for name, revision in build.methods.items()]
    lines += [look.paint("bold", "methods"), *table(rows, look, indent=2)]
    for path, text in one.texts.items():
        lines += ["", look.paint("bold", path), *_text(text)]
    if one.lock:
        lines += ["", look.paint("bold", "lock"), *_text(one.lock)]
    return "\n".join(lines)


def _whole(digest: str, look: Look) -> str:
    """Write a digest whole: in two halves where the page is too narrow for a line of it."""
    half = len(digest) // 2
    return f"{digest[:half]} {digest[half:]}" if 0 < look.width < len(digest) + 12 else digest


def _when(started: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started))


def _did(build: PastBuild) -> str:
    return f"{build.run} ran, {build.reused} reused, {human_bytes(build.written)} written in {seconds(build.seconds)}"


def _asked(build: PastBuild) -> str:
    return " ".join(["build", *build.asked, *(f"--set {override}" for override in build.overrides)])


def _source(build: PastBuild, name: str) -> str:
    source = build.sources[name]
    roots = {output.read[name][:SHORT] for output in build.outputs if output.read.get(name)}
    commit = f" at {source.commit[:SHORT]}" if source.commit else ""
    return f"{source.location}{commit}{', tensors ' if roots else ''}{listed(sorted(roots))}"


def _text(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.splitlines()] or ["  it is no longer in the cache"]


def restored(done: Sequence[Restored]) -> str:
    """Say what stands again, and how it came to: of many that came to it in one way together."""
    groups: dict[str, list[Restored]] = {}
    for one in done:
        groups.setdefault(one.how, []).append(one)
    lines = []
    for group in groups.values():
        first, names = group[0], gathered([one.target for one in group])
        if len(group) > _FEW:
            lines.append(f"restored {listed(names)} of build {first.build}: {_how(group)}; their identities are the recorded ones")
            continue
        lines += [
            f"restored {one.target} of build {one.build} to {one.path}: {_how([one])}; its identity is {one.identity[:SHORT]}, as recorded"
            for one in group
        ]
    return "\n".join(lines)


def _how(group: Sequence[Restored]) -> str:
    """Say how outputs came to stand again, all of them in one way."""
    match group[0].how:
        case "fresh":
            return f"{'it' if len(group) == 1 else 'they'} stood there already"
        case "linked":
            return f"linked from {counted(sum(one.packs for one in group), 'pack')} of the cache, nothing computed"
        case _:
            run, total = (sum(numbers) for numbers in zip(*((one.run, one.total) for one in group), strict=True))
            return f"built from the Modelfile of then: {run} of {counted(total, 'action')} ran"


def diff(found: Sequence[Comparison], look: Look) -> str:
    """Show what differs: recipes, then tensors."""
    return "\n\n".join("\n".join(_compared(one, look)) for one in found)


def _compared(one: Comparison, look: Look) -> Iterator[str]:
    a, b = one.a, one.b
    if one.recipe:
        yield from _bold(f"asked for otherwise, {a} -> {b}:", look)
        yield from change_lines(one.recipe, look)
    for label, names in ((a, one.only_a), (b, one.only_b)):
        if names:
            yield from _bold(f"only in {label}, {counted(len(names), 'tensor')}:", look)
            yield from (f"    {name}" for name in alike(names))
    if one.tensors:
        yield from _bold(f"tensors that differ, {a} -> {b}:", look)
        yield from _tensors([_HEAD, *(_row(tensor) for tensor in one.tensors)], look)
    count = len(one.tensors) + len(one.only_a) + len(one.only_b)
    told = f"{counted(count, 'tensor')} {'differs' if count == 1 else 'differ'}, {one.same} are equal; {human_bytes(one.read)} read"
    yield from look.wrapped(told, 2, first=0)


def _bold(text: str, look: Look) -> Iterator[str]:
    return (look.paint("bold", line) for line in look.wrapped(text, 2, first=0))


_HEAD = ("", "rel. L2", "cosine", "max ulp", "flips", "differing")


def _tensors(rows: Sequence[tuple[str, ...]], look: Look) -> Iterator[str]:
    """Show a table; where its columns do not fit, what stands in them below each name."""
    if not look.width or sum(max(len(row[i]) for row in rows) + 2 for i in range(len(_HEAD))) + 4 <= look.width:
        yield from table(rows, look, indent=4)
        return
    for name, *cells in rows[1:]:
        yield f"    {name}"
        told = [f"{head} {cell}".replace(" ", "\u00a0", 3) for head, cell in zip(_HEAD[1:], cells, strict=True) if cell]
        yield from look.wrapped(", ".join(told), 8)


def _row(tensor: UnlikeTensor) -> tuple[str, ...]:
    values = tensor.values
    if values is None:
        forms = " -> ".join(form or "bytes that are nowhere" for form in tensor.forms)
        return (tensor.name, "", "", "", "", forms if any(tensor.forms) else "its bytes are nowhere: `restore` brings them back")
    forms = f"; {' -> '.join(tensor.forms)}" if any(tensor.forms) else ""
    return (
        tensor.name,
        _number(values.relative_l2, "{:.3g}"),
        _number(values.cosine, "{:.6f}"),
        str(values.ulps) if values.ulps >= 0 else "-",
        str(values.flips),
        f"{_share(values)}{forms}",
    )


def _share(values: Difference) -> str:
    odd = f", {values.nonfinite} not finite" if values.nonfinite else ""
    return f"{values.elements} of {values.numel}{odd}"


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "-"

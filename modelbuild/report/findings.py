"""A target's report as one page: the graph, lineage, what each merge changed and where, parameters, time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

from msgspec import Struct

import modelbuild
from modelbuild.cache.figures import Figures
from modelbuild.checkpoint.dtypes import nbytes
from modelbuild.checks.intervals import Interval
from modelbuild.checks.verdicts import shown
from modelbuild.names import human_bytes
from modelbuild.report import heat
from modelbuild.report.heat import Cell
from modelbuild.report.pages import figure, page, table, text
from modelbuild.report.settings import settings
from modelbuild.report.words import counted, seconds
from modelbuild.usecases.reporting import MergeReport, ReportView, TensorReport

_STYLE = heat.STYLE + (
    ".facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin:10px 0 0;padding:0}.facts div{min-width:0}"
    ".facts dt{font-size:12.5px;color:var(--faint)}.facts dd{margin:0;font-size:17px;overflow-wrap:anywhere}"
    ".maps{display:flex;flex-wrap:wrap;gap:0 48px}.maps>div{max-width:100%;flex:0 1 auto}.maps p{max-width:56ch}"
    ".numbers td{white-space:nowrap}.bar{fill:var(--h3)}section{margin-top:44px}"
)
_MOST_ROWS = 2000
"""Of a table of tensors: a page with more of them is slow."""
_MAPS = "In the maps, - heads what is outside of the layers. In a dashed cell there is nothing to measure: it is handed on."
_TIMED = "Seconds of all threads together, each tensor when it was last merged here, with the hashing of what was not known yet."
_CHECKED = "Of the output as it stands, as far as they were run; in brackets are 95 % intervals."
_VERDICTS = {True: "passed", False: "<b>failed</b>", None: "measured"}
_SLOWEST = 5
_DIGITS = 12


class Quantity(Struct, frozen=True):
    """A number of a merged tensor: what it is called and means, how it is found and written."""

    name: str
    meaning: str
    of: Callable[[Figures], float | None]
    written: Callable[[float], str]
    of_parents: bool = True
    """Whether it is of what was merged, so that it is shown where that was done, and not where the result is handed on."""


def _share(value: float) -> str:
    return f"{value * 100:.1f} %"


def _norm(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 or not value else f"{value:.1e}"


def _cosine(value: float) -> str:
    return f"{value:.5f}"


QUANTITIES = (
    Quantity(
        "Change",
        "how far the result is from the base: the norm of the difference over the norm of the base",
        lambda one: one.moved,
        _norm,
        of_parents=False,
    ),
    Quantity("Cosine to the base", "of the weights of the result and the base", lambda one: one.cosine_to_base, _cosine, of_parents=False),
    Quantity(
        "Cosine between parents",
        "of their differences to the base, of each two and then the mean; of weights where one of them is the base",
        lambda one: one.between_parents,
        _cosine,
    ),
    Quantity(
        "Sign conflict",
        "of the elements that any parent changes, the share that two parents change in opposite directions",
        lambda one: one.conflict_share,
        _share,
    ),
    Quantity(
        "Changed", "of the elements that any parent changes, the share that the result changes too", lambda one: one.changed_share, _share
    ),
)


def report(view: ReportView) -> str:
    """Return the page."""
    body = [*_head(view), "<section><h2>Graph</h2>", figure(view.graph), "</section>", *_lineage(view), *_checks(view)]
    for merge in view.merges:
        body += _merge(merge)
    body += _time(view)
    body += [f'<p class="faint">Written by modelbuild {modelbuild.__version__}.</p>']
    return page(f"{view.target}: report of a merge", body, _STYLE)


def _head(view: ReportView) -> Iterator[str]:
    target = view.merges[0]
    computed = sum(not tensor.origin for tensor in target.tensors)
    elements = sum(prod(tensor.shape) for tensor in target.tensors)
    facts = [
        ("method", text(target.method)),
        ("tensors", f"{len(target.tensors)}: {computed} merged here, {len(target.tensors) - computed} handed on"),
        ("elements", f"{elements:,}"),
        ("size", human_bytes(view.nbytes)),
        ("types", ", ".join(dict.fromkeys(tensor.dtype for tensor in target.tensors))),
        ("digest of all tensors", f"<code>{view.root}</code>" if view.root else "not built"),
    ]
    yield f"<h1>{text(view.target)}</h1>"
    yield f'<dl class="facts">{"".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)}</dl>'
    if view.unbuilt:
        yield f"<p>{counted(view.unbuilt, 'tensor')} of these merges are not built as the Modelfile is now, and not measured.</p>"


def _lineage(view: ReportView) -> Iterator[str]:
    rows = [
        [
            f"<b>{text(one.name)}</b>",
            f"<code>{text(one.location)}</code>",
            f"<code>{text(one.commit[:_DIGITS])}</code>" if one.commit else "",
            f'<code title="{one.root}">{one.root[:_DIGITS]}</code>' if one.root else "not read whole",
            text(one.licence) or "not stated",
        ]
        for one in view.sources
    ]
    yield "<section><h2>Lineage</h2>"
    yield table(("source", "from", "commit", "digest", "licence"), rows)
    yield "</section>"


def _checks(view: ReportView) -> Iterator[str]:
    """Yield what the checks came to, and beside it the scores of the models that the target was made of."""
    if not view.checks:
        return
    rows = [
        [
            f"<b>{text(one.name)}</b>",
            _VERDICTS[one.passed],
            "<br>".join(map(text, one.said)),
            "<br>".join(f"{text(name)} {_score(span)}" for name, span in one.scores),
        ]
        for one in view.checks
    ]
    yield "<section><h2>Checks</h2>"
    yield f'<p class="faint">{_CHECKED}</p>'
    yield table(("check", "", "result", "scores"), rows)
    yield "</section>"


def _score(span: Interval) -> str:
    return shown(span.value) + (f" ({shown(span.low)} to {shown(span.high)})" if span.how else "")


def _merge(merge: MergeReport) -> Iterator[str]:
    own = [tensor for tensor in merge.tensors if not tensor.origin]
    bases = ", ".join(dict.fromkeys(tensor.base for tensor in merge.tensors if tensor.base))
    yield f'<section><h2>{text(merge.name)} <span class="faint">{text(merge.method)}</span></h2>'
    handed = len(merge.tensors) - len(own)
    told = [
        f"{counted(len(own), 'tensor')} merged from {text(', '.join(merge.inputs))}" if own else "",
        f"{handed} handed on" if handed else "",
    ]
    yield f"<p>{'; '.join(filter(None, told))}.{f' Measured from {text(bases)}.' if bases else ''}</p>"
    if own:
        yield from settings(own)
    shown = [quantity for quantity in QUANTITIES if any(_value(tensor, quantity) is not None for tensor in merge.tensors)]
    if shown:
        yield f'<p class="faint">{_MAPS}</p><div class="maps">'
        for quantity in shown:
            yield from _map(quantity, merge.tensors)
        yield "</div>"
    yield from _kept(merge)
    if shown:
        yield _numbers(merge, shown)
    yield "</section>"


def _value(tensor: TensorReport, quantity: Quantity) -> float | None:
    return quantity.of(tensor.figures) if tensor.figures and not (quantity.of_parents and tensor.origin) else None


def _map(quantity: Quantity, tensors: Sequence[TensorReport]) -> Iterator[str]:
    cells = [Cell(tensor.name, tensor.module, tensor.layer, _value(tensor, quantity)) for tensor in tensors]
    yield f'<div><h3>{quantity.name}</h3><p class="faint">{quantity.meaning[0].upper()}{quantity.meaning[1:]}.</p>'
    yield f'<div class="scroll">{heat.heat_map(cells, quantity.written)}</div>{heat.legend(cells, quantity.written)}</div>'


def _kept(merge: MergeReport) -> Iterator[str]:
    """Yield a line for each parent: how far it is from the base, and how much of that the merge keeps."""
    rows = []
    measured = [(tensor, tensor.figures) for tensor in merge.tensors if tensor.figures and not tensor.origin]
    for parent in dict.fromkeys(name for tensor, _ in measured for name in tensor.parents):
        found = [(one, i) for tensor, one in measured for i, name in enumerate(tensor.parents) if name == parent]
        differs = sum(one.differs[i] for one, i in found)
        if differs:
            kept = sum(one.kept[i] for one, i in found)
            elements = sum(one.numel for one, _ in found)
            rows.append([f"<b>{text(parent)}</b>", _share(differs / elements), _share(kept / differs)])
    if rows:
        yield "<h3>What is kept of each parent</h3>"
        yield '<p class="faint">Kept are the elements that the result moves to the side that the parent moves them to.</p>'
        yield table(("parent", "elements it changes", "of these kept"), rows, frozenset({1, 2}))


def _numbers(merge: MergeReport, shown: Sequence[Quantity]) -> str:
    tensors = merge.tensors[:_MOST_ROWS]
    rows = [
        [
            f"<code>{text(tensor.name)}</code>",
            text(f"{tensor.dtype} {'×'.join(map(str, tensor.shape)) or 'scalar'}"),  # noqa: RUF001
            text(tensor.origin),
            *("" if (value := _value(tensor, one)) is None else one.written(value) for one in shown),
        ]
        for tensor in tensors
    ]
    left = len(merge.tensors) - len(tensors)
    more = f'<p class="faint">and {left} more: `modelbuild report --json` has all</p>' if left else ""
    head = ("tensor", "type", "handed on from", *(one.name.lower() for one in shown))
    numbers = table(head, rows, frozenset(range(3, 3 + len(shown))))
    return f'<details class="numbers"><summary>All numbers</summary>{numbers}{more}</details>'


def _time(view: ReportView) -> Iterator[str]:
    """Yield the time that each merge took when its tensors were last merged."""
    timed = [(merge, [tensor for tensor in merge.tensors if not tensor.origin and tensor.seconds >= 0]) for merge in view.merges]
    timed = [(merge, tensors) for merge, tensors in timed if tensors]
    if not timed:
        return
    longest = max(sum(tensor.seconds for tensor in tensors) for _, tensors in timed)
    rows = []
    for merge, tensors in timed:
        spent, size = sum(tensor.seconds for tensor in tensors), sum(nbytes(tensor.dtype, tensor.shape) for tensor in tensors)
        width = 160 * spent / longest if longest else 0
        bar = (
            f'<svg class="heat" width="160" height="12" aria-hidden="true"><rect class="bar" width="{width:.1f}" height="12" rx="2"/></svg>'
        )
        slowest = sorted(tensors, key=lambda tensor: -tensor.seconds)[:_SLOWEST]
        listed = ", ".join(f"{tensor.name} {seconds(tensor.seconds)}" for tensor in slowest)
        rows.append(
            [f"<b>{text(merge.name)}</b>", bar, seconds(spent), str(len(tensors)), human_bytes(size), f"<code>{text(listed)}</code>"]
        )
    yield "<section><h2>Time</h2>"
    yield f'<p class="faint">{_TIMED}</p>'
    yield table(("merge", "", "time", "tensors", "written", "slowest"), rows, frozenset({2, 3, 4}))
    yield "</section>"

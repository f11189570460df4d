"""What `test` and `compare` print."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from math import isfinite

from modelbuild.checks.intervals import Interval
from modelbuild.checks.verdicts import shown
from modelbuild.report import variants
from modelbuild.report.page import Look
from modelbuild.report.words import counted, seconds
from modelbuild.usecases.contrasting import Compared, Contrast, Contrasts
from modelbuild.usecases.searching import Found
from modelbuild.usecases.testing import Checked, Result

_WORDS = {"passed": ("ok", "green"), "failed": ("FAILED", "error"), "measured": ("measured", "cyan"), "skipped": ("skipped", "yellow")}
_SHOWN = 5
"""Trials of a search that are shown."""
_WIDEST = max(len(word) for word, _ in _WORDS.values())


def tested(found: Checked, look: Look) -> str:
    """Show each check of each target, and why."""
    lines: list[str] = []
    width = max((len(one.check) for one in found.results), default=0)
    for target, group in groupby(found.results, key=lambda one: one.target):
        lines.append(look.paint("bold", target))
        for one in group:
            lines += _rows(one, width, look)
    lines += _side_by_side(found, look)
    counts: Counter[str] = Counter(one.verdict.state for one in found.results)
    told = ", ".join(f"{counts[state]} {state}" for state in _WORDS if counts[state])
    ran = f"{found.evaluated} evaluated, {found.cached} cached ({seconds(found.seconds)})"
    lines.append(f"{counted(len(found.results), 'check')}: {told or 'none'}; {ran}")
    return "\n".join(lines)


def _side_by_side(found: Checked, look: Look) -> list[str]:
    """Show the variants of each sweep as a table: the score of each check that gives one, else its verdict."""
    columns: dict[str, dict[str, str]] = {}
    for one in found.results:
        word, _ = _WORDS[one.verdict.state]
        score = shown(one.verdict.score) if isfinite(one.verdict.score) else ""
        columns.setdefault(one.target, {})[one.check] = f"{score} {word}" if score and one.verdict.state == "failed" else score or word
    points = [variants.At(name, point) for name, point in found.points.items()]
    return [variants.sweep(name, group, columns, look) for name, group in variants.sweeps(points)]


def _rows(one: Result, width: int, look: Look) -> list[str]:
    word, style = _WORDS[one.verdict.state]
    head = f"  {one.check.ljust(width)}  "
    indent = len(head) + _WIDEST + 2
    first, *more = [line for said in one.verdict.said or ("",) for line in look.wrapped(said, indent)]
    if len(one.verdict.parts) > 1:
        more += look.wrapped(", ".join(f"{name} {shown(value)}" for name, value in one.verdict.parts), indent)
    return [head + look.paint(style, word) + " " * (_WIDEST + 2 - len(word)) + first[indent:], *more]


def compared(found: Contrasts, look: Look) -> str:
    """Show each check as a table: a row for each model, with its score, its interval and its difference to the first."""
    width = max(len(name) for name in found.models)
    lines: list[str] = []
    hows: dict[str, None] = {}
    for one in found.contrasts:
        better = "higher is better" if one.higher_is_better else "lower is better"
        lines.append(f"{look.paint('bold', one.check)} ({one.metric}, {better})")
        for cell in one.models:
            lines.append(f"  {cell.model.ljust(width)}  " + _cell(cell, one, look))
            hows |= {span.how: None for span in (cell.score, cell.apart) if span and span.how}
    first = found.models[0]
    lines.append(f"95 % intervals: {', '.join(hows) or 'not known'}; differences are to {first}, * where the interval leaves out 0")
    lines.append(f"{found.evaluated} evaluated, {found.cached} cached ({seconds(found.seconds)})")
    return "\n".join(lines)


def searched(found: Found, look: Look) -> str:
    """Show the best trials of a search, best first, and what the winner sets."""
    best = found.front if len(found.objectives) > 1 else _ranked(found)
    lines = [f"{look.paint('bold', found.name)}: {counted(len(found.trials), 'candidate')}"]
    for at in best[:_SHOWN]:
        trial = found.trials[at]
        scores = ", ".join(f"{name} {shown(score)}" for (name, _), score in zip(found.objectives, trial.scores, strict=True))
        line = f"  {at + 1:3}  {scores}  {' '.join(trial.edits)}"
        lines.append(look.paint("green", line) if at == found.winner else line)
    if len(best) > _SHOWN:
        lines.append(f"  and {len(best) - _SHOWN} more")
    lines.append(f"candidate {found.winner + 1} wins" + (f", and stands in {found.lock} with all others" if found.lock else ""))
    lines += [f"  {edit}" for edit in found.trials[found.winner].edits]
    lines.append(f"{found.evaluated} evaluated, {found.cached} cached ({seconds(found.seconds)})")
    return "\n".join(lines)


def _ranked(found: Found) -> tuple[int, ...]:
    (_, higher), *_ = found.objectives
    order = sorted(range(len(found.trials)), key=lambda i: -found.trials[i].scores[0] if higher else found.trials[i].scores[0])
    return (found.winner, *(at for at in order if at != found.winner))


def _cell(cell: Compared, contrast: Contrast, look: Look) -> str:
    if cell.score is None:
        return look.paint("error", "no score") + f": {cell.why}"
    text = f"{shown(cell.score.value):>10}  {_span(cell.score):22}"
    if cell.apart is None:
        return text.rstrip()
    sure = bool(cell.apart.how) and (cell.apart.low > 0 or cell.apart.high < 0)
    style = "" if not sure else "green" if (cell.apart.value > 0) == contrast.higher_is_better else "red"
    sign = "+" if cell.apart.value >= 0 else ""
    apart = f"{sign}{shown(cell.apart.value)} {_span(cell.apart)}{' *' if sure else ''}".rstrip()
    return f"{text}  {look.paint(style, apart) if style else apart}".rstrip()


def _span(span: Interval) -> str:
    return f"[{shown(span.low)}, {shown(span.high)}]" if span.how else ""

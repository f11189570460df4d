"""What a build ends with, which says what was saved, and what a forecast says."""

from __future__ import annotations

from collections.abc import Iterator

from modelbuild.names import human_bytes
from modelbuild.report.page import Look
from modelbuild.report.words import are, counted, gathered, listed, seconds
from modelbuild.usecases.outcome import Outcome

PLAIN = Look()


_WORTH_TELLING = 0.1
"""Seconds."""


def summary(outcome: Outcome, look: Look = PLAIN) -> str:
    """Say what a build came to, in one line where it fits."""
    return "\n".join(look.wrapped(_summary(outcome) + _saved(outcome), 2, first=0))


def _saved(outcome: Outcome) -> str:
    """Say what was not done again, as far as that is known and worth telling."""
    if not outcome.actions.reused or any(target.state == "failed" for target in outcome.targets):
        return ""
    span = outcome.saved.seconds or 0.0
    parts = [f"about {seconds(span)} of merging"] if span >= _WORTH_TELLING else []
    parts += [f"{human_bytes(outcome.saved.read)} of reading"] if outcome.saved.read else []
    return f"; saved {listed(parts)}" if parts else ""


def _summary(outcome: Outcome) -> str:
    by_state = {state: [target.name for target in outcome.targets if target.state == state] for state in ("built", "fresh", "failed")}
    built, fresh, failed = map(gathered, by_state.values())
    tensors = counted(sum(target.tensors for target in outcome.targets), "tensor")
    actions, span = outcome.actions, seconds(outcome.seconds)
    did = f"{actions.reused} reused, {actions.run} merged, {human_bytes(outcome.bytes.written)} written"
    if built:
        line = f"built {listed(built)} in {span}: {counted(actions.total, 'tensor')}, {did}"
        if fresh:
            line += f"; {listed(fresh)} {are(len(by_state['fresh']))} fresh"
    elif fresh and (actions.run or outcome.bytes.written):
        line = f"{listed(fresh)} came out unchanged in {span}: {counted(actions.total, 'tensor')}, {did}"
    elif fresh:
        line = f"{listed(fresh)} {are(len(by_state['fresh']))} fresh: {tensors}, nothing to do ({span})"
    else:
        return f"{listed(failed)} failed after {span}: {actions.run} merged, {human_bytes(outcome.bytes.written)} written"
    return f"{listed(failed)} failed; {line}" if failed else line


def forecast(outcome: Outcome, look: Look = PLAIN) -> str:
    """Say what a build would do, and how long it would take by what others took."""
    actions, count = outcome.actions, outcome.bytes
    if all(target.state == "fresh" for target in outcome.targets) and not (actions.run or count.written or count.read):
        names, tensors = gathered([target.name for target in outcome.targets]), sum(target.tensors for target in outcome.targets)
        fresh = f"{listed(names)} {are(len(outcome.targets))} fresh: {counted(tensors, 'tensor')}, nothing to do"
        return "\n".join([*look.wrapped(fresh, 2, first=0), *_exports(outcome, look)])
    most = "" if outcome.exact else "at most "
    what = f"would run {most}{actions.run} of {counted(actions.total, 'action')}, read {most}{human_bytes(count.read)}"
    memory = f"{human_bytes(outcome.peak_rss_bytes)} of memory"
    if outcome.past_builds:
        judged = f"judged by {counted(outcome.past_builds, 'past build')} on this machine"
        long = f"in {most or 'about '}{seconds(outcome.seconds)} with {memory}, {judged}"
    else:
        long = f"with {memory}; there is no past build to judge the time by"
    would = look.wrapped(f"{what} and write {most}{human_bytes(count.written)}", 2, first=0)
    return "\n".join([*would, *look.wrapped(long, 4, first=2), *_exports(outcome, look)])


def _exports(outcome: Outcome, look: Look) -> Iterator[str]:
    """Say which exports a build would make and why, and which checks would not let it."""
    for one in outcome.exports:
        if one.why:
            yield from look.wrapped(f"would make {one.name}: {one.why}", 2, first=0)
        for check, said in one.failing.items():
            then = f"{one.name} would not be made" if one.why else f"{one.name} stands, and the build would fail"
            yield from look.wrapped(f"`{one.of}` fails its check `{check}`, so {then}: {'; '.join(said)}", 4, first=2)

"""The last line of a build, which says what was saved, and the line of a forecast."""

from __future__ import annotations

from modelbuild.names import human_bytes
from modelbuild.report.words import are, counted, gathered, listed, seconds
from modelbuild.usecases.outcome import Outcome


def summary(outcome: Outcome) -> str:
    """Say what a build came to, in one line."""
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
        return f"{listed(failed)} failed after {span}: {did}"
    return f"{listed(failed)} failed; {line}" if failed else line


def forecast(outcome: Outcome) -> str:
    """Say what a build would do, in one line."""
    actions, count = outcome.actions, outcome.bytes
    if all(target.state == "fresh" for target in outcome.targets) and not (actions.run or count.written or count.read):
        names, tensors = gathered([target.name for target in outcome.targets]), sum(target.tensors for target in outcome.targets)
        return f"{listed(names)} {are(len(outcome.targets))} fresh: {counted(tensors, 'tensor')}, nothing to do"
    most = "" if outcome.exact else "at most "
    return (
        f"would run {most}{actions.run} of {counted(actions.total, 'action')}, "
        f"read {most}{human_bytes(count.read)} and write {most}{human_bytes(count.written)}"
    )

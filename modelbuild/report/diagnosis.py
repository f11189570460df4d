"""What `doctor` prints."""

from __future__ import annotations

from itertools import groupby

from modelbuild.report.page import Look, table
from modelbuild.report.words import counted
from modelbuild.usecases.doctoring import Diagnosis

_STYLES = {"good": "green", "odd": "yellow", "bad": "red"}
_WORDS = {"good": "", "odd": "note: ", "bad": "error: "}


def diagnosis(found: Diagnosis, look: Look) -> str:
    """Show everything that was looked at, by subject."""
    lines: list[str] = []
    for subject, group in groupby(found.findings, key=lambda one: one.subject):
        lines.append(look.paint("bold", subject))
        for one in group:
            words = f"{_WORDS[one.state]}{one.value}" + (f" ({one.hint})" if one.hint else "")
            rows = table([(one.name.ljust(15), words)], look, indent=2)
            lines += rows if one.state == "good" else [look.paint(_STYLES[one.state], row) for row in rows]
    bad = sum(one.state == "bad" for one in found.findings)
    lines.append(f"{counted(bad, 'thing')} to mend" if bad else "all is well")
    return "\n".join(lines)

"""Checks as JUnit's XML, which continuous integration reads: a suite for each target, a case for each check."""

from __future__ import annotations

import re
from itertools import groupby
from xml.etree import ElementTree as ET

from modelbuild.usecases.testing import Checked, Result

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""


def junit(found: Checked) -> str:
    """Return the document."""
    root = ET.Element(
        "testsuites", name="modelbuild", tests=str(len(found.results)), failures=str(len(found.failed)), time=f"{found.seconds:.3f}"
    )
    for target, group in groupby(found.results, key=lambda one: one.target):
        results = list(group)
        states = [one.verdict.state for one in results]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=target,
            tests=str(len(results)),
            failures=str(states.count("failed")),
            skipped=str(states.count("skipped")),
            errors="0",
            time=f"{sum(one.seconds for one in results):.3f}",
        )
        for one in results:
            _case(suite, one)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}'


def _case(suite: ET.Element, one: Result) -> None:
    case = ET.SubElement(suite, "testcase", classname=one.target, name=one.check, time=f"{one.seconds:.3f}")
    told = _written("\n".join(one.verdict.said))
    if one.verdict.state == "failed":
        ET.SubElement(case, "failure", message=_written("; ".join(one.verdict.faults)), type=one.kind).text = told
    elif one.verdict.state == "skipped":
        ET.SubElement(case, "skipped", message=told)
    else:
        ET.SubElement(case, "system-out").text = told


def _written(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)

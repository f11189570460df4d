"""HTML and SVG looked at: whole, and in need of nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}
SELF_CONTAINED = re.compile(
    r"(?:src|href|action|data|poster|xlink:href)\s*=|url\(\s*[\"']?(?!#)|@import|<script|<link|<iframe|\son\w+\s*=", re.IGNORECASE
)
NAMESPACES = {"http://www.w3.org/2000/svg"}


class _Reader(HTMLParser):
    """Reads a page tag by tag, and refuses what is closed by nothing, or by another."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert tag == self.open.pop(), f"</{tag}> closes another"


def well_formed(page: str) -> set[str]:
    """Return the names of a page's tags; fails where it is not well formed, or needs anything but itself."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert [] == reader.open
    assert page.startswith("<!DOCTYPE html>")
    needs_nothing(page)
    return reader.seen


def needs_nothing(document: str) -> None:
    """Refuse whatever would be fetched or run."""
    assert None is SELF_CONTAINED.search(document)
    assert NAMESPACES >= set(re.findall(r"https?://[^\s\"'<]+", document))


def read_svg(document: str) -> ElementTree.Element:
    """Read an SVG; fails where it is no XML, or needs anything but itself."""
    needs_nothing(document)
    return ElementTree.fromstring(document)  # noqa: S314 - our own

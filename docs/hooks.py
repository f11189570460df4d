"""What mkdocs.yml leaves to be said in code: pages by the dozen, and links that lead out of docs/.

The pages are written for who reads them in the repository, so a link may lead to any file of it.  Such files come along in the site, as
pages under repository/.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?=[)#])")
LANGUAGES = {".py": "python", ".toml": "toml"}


def on_config(config: MkDocsConfig) -> None:
    """Write out `directory/*` in the navigation."""
    config.nav = [_written_out(entry) for entry in config.nav or []]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository that pages lead to, and those that these lead to."""
    waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
    known = set(waiting)
    while waiting:
        page = waiting.pop()
        for path in (_led_to(page, found["path"]) for found in LINK.finditer(page.read_text())):
            if path in known or not path.is_file() or not path.is_relative_to(ROOT) or path.is_relative_to(DOCS):
                continue
            known.add(path)
            waiting += [path] if path.suffix == ".md" else []
            files.append(File.generated(config, _place(path), content=_as_page(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs passes them
    """Let links lead to where files are in the site."""
    place = PurePosixPath(page.file.src_uri)
    here = ROOT / place.relative_to("repository") if place.parts[0] == "repository" else DOCS / place

    def moved(found: re.Match[str]) -> str:
        path = _led_to(here, found["path"])
        return os.path.relpath(_place(path), place.parent) if path.is_relative_to(ROOT) and path.exists() else found["path"]

    return LINK.sub(moved, markdown)


def _written_out(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    ((title, inside),) = entry.items()
    if isinstance(inside, list):
        return {title: [_written_out(one) for one in inside]}
    if not inside.endswith("/*"):
        return entry
    return {title: list(_pages(DOCS / inside.removesuffix("/*")))}


def _pages(directory: Path) -> Iterator[str]:
    """Yield the pages of a directory, the README first."""
    for path in sorted(directory.glob("*.md"), key=lambda path: (path.name != "README.md", path.name)):
        yield path.relative_to(DOCS).as_posix()


def _led_to(page: Path, link: str) -> Path:
    """Return the file that a link of a page leads to; of a directory its README."""
    path = Path(os.path.normpath(page.parent / link))
    return path / "README.md" if path.is_dir() else path


def _place(path: Path) -> str:
    """Return where a file of the repository is in the site's sources."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    place = PurePosixPath("repository") / path.relative_to(ROOT).as_posix()
    return str(place if place.suffix == ".md" else place.with_name(f"{place.name}.md"))


def _as_page(path: Path) -> str:
    """Return a file as a page: Markdown as it is, and anything else as a block."""
    text = path.read_text()
    if path.suffix == ".md":
        return text
    return f"# {path.name}\n\n~~~~{LANGUAGES.get(path.suffix, 'text')}\n{text}\n~~~~\n"

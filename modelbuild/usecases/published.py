"""A project's recipe as others get it: Modelfile and lock, with nothing in them that is this machine's alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import tomli
from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild import lockfile, mergekit
from modelbuild.checkpoint.templates import BY_NAME, is_template
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.lockfile import Lock
from modelbuild.modelfile.model import Merge, Modelfile
from modelbuild.modelfile.parse import parse
from modelbuild.modelfile.scan import Node, scan, value_end
from modelbuild.names import KeyPath, dotted, plain
from modelbuild.reading import read_small
from modelbuild.usecases.project import Project

MODELFILE, LOCK, CARD = "Modelfile.toml", "Modelfile.lock", "README.md"
"""How the parts of a recipe are called where it is published, whatever they are called here."""

_ABSOLUTE = re.compile(r"[/~\\]|[A-Za-z]:[\\/]|file:")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
_HOME = re.compile(r"(?<![\w.-])/(?:home|Users|root)/[^\s/\"'`<>|]+")


class Recipe(Struct, frozen=True):
    """What makes a target, as it is published.

    Args:
        modelfile: the text: the user's own, with places that mean nothing elsewhere replaced, and the target as its default.
        lock: with the same replacements.
        beside: files that the Modelfile names and that go with it, by relative path.
        moved: sources whose absolute place was replaced.

    """

    modelfile: str
    lock: Lock
    beside: Mapping[str, bytes] = field(default_factory=dict)
    moved: tuple[str, ...] = ()

    @property
    def lock_text(self) -> str:
        """The lock as a file."""
        return lockfile.to_text(self.lock)


def recipe_of(project: Project, target: str, lock: Lock) -> Recipe:
    """Return the recipe of a target.

    Raises:
        ModelbuildError: exit 8 if something in it is this machine's alone and cannot be taken out.

    """
    text = _text(project)
    written = parse(Path(MODELFILE), text)
    places = {name: f"models/{name}" for name, source in written.sources.items() if _ABSOLUTE.match(source.location)}
    places |= {name: f"models/{_plain_name(name)}" for name, one in written.adapters.items() if _ABSOLUTE.match(one.location)}
    edits: dict[KeyPath, Any] = {(*written.read[name].path, "from"): place for name, place in places.items()}
    edits |= {path: value for path, value in _elsewhere(written, tomli.loads(text)) if path not in edits}
    published = edited(text, edits | {("default",): [target]})
    sources = {name: replace(one, location=places.get(name, one.location)) for name, one in lock.sources.items()}
    recipe = Recipe(published, replace(lock, sources=sources), _beside(project, written, target), tuple(places))
    said = _published_as(recipe)
    if said is None or not said.means(_wanted(written, places, target)):
        raise ModelbuildError(_inseparable(project, list(edits) or [("default",)]), Exit.UNSAFE)
    refuse_private(recipe.modelfile, MODELFILE, project.where.root)
    refuse_private(recipe.lock_text, LOCK, project.where.root)
    return recipe


def _text(project: Project) -> str:
    """Return the Modelfile's text; of mergekit's configurations, that of the Modelfile that they are."""
    where = project.where
    if not where.imports:
        return where.file.read_bytes().decode("utf-8-sig")
    found = mergekit.imported(where.files, where.root, where.root)
    return mergekit.written(found.document, [f"Imported from {', '.join(path.name for path in where.files)}."])


def _plain_name(name: str) -> str:
    """Return the name of an adapter, which the program gave, as one of a directory."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")


def _elsewhere(written: Modelfile, document: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Yield what else of a Modelfile is absolute and says where things are here, and what it is to be."""
    if _ABSOLUTE.match(written.cache.path):
        yield ("cache", "path"), "cache"
    for name, merge in written.merges.items():
        if _ABSOLUTE.match(merge.output.path):
            yield ("merge", name, "output", "path"), f"out/{name}"
    for name, value in document.get("vars", {}).items():
        if isinstance(value, str) and _ABSOLUTE.match(value):
            yield ("vars", name), "elsewhere"


def edited(text: str, values: Mapping[KeyPath, Any]) -> str:
    """Return a TOML text with some values replaced where they stand; of keys at the top, also with those that were missing.

    Args:
        text: TOML that the parser accepts.
        values: strings, or lists of strings, by key path.

    """
    root = scan(text)
    spans: list[tuple[int, int, str]] = []
    for path, value in values.items():
        told = json.dumps(value, ensure_ascii=False)
        node = _node(root, path)
        if node is not None:
            spans.append((node.value, value_end(text, node.value), told))
        elif len(path) == 1:
            first = min((one.key for one in root.children.values()), default=len(text))
            start = text.rfind("\n", 0, first) + 1
            spans.append((start, start, f"{path[0]} = {told}\n"))
    for start, end, told in sorted(spans, reverse=True):
        text = text[:start] + told + text[end:]
    return text


def _node(node: Node, path: KeyPath) -> Node | None:
    for part in path:
        if part not in node.children:
            return None
        node = node.children[part]
    return node


def _inseparable(project: Project, absolute: Sequence[KeyPath]) -> Problem:
    """Word that some keys say where things are on this machine, and something else as well: variables, most often."""
    facts = (
        f"absolute: {', '.join(f'`{dotted(path)}`' for path in absolute)}",
        "with another path there the Modelfile means another thing",
    )
    path = next((path for path in absolute if path[0] == "vars"), absolute[0])
    what, hint = "places of this machine cannot be taken out of the Modelfile", "write paths relative to the Modelfile"
    return project.modelfile.locator.problem(what, path, facts=facts, hint=hint)


def _published_as(recipe: Recipe) -> Modelfile | None:
    """Return what the text means that would be published, None where it means nothing."""
    try:
        return parse(Path(MODELFILE), recipe.modelfile)
    except ModelbuildError:
        return None


def _wanted(written: Modelfile, places: Mapping[str, str], target: str) -> Modelfile:
    """Return what is to be published: what the Modelfile means here, but for the places."""
    return replace(
        written,
        default=(target,),
        sources={name: replace(one, location=places.get(name, one.location)) for name, one in written.sources.items()},
        adapters={name: replace(one, location=places.get(name, one.location)) for name, one in written.adapters.items()},
        merges={name: _placed(one) for name, one in written.merges.items()},
        cache=replace(written.cache, path="cache") if _ABSOLUTE.match(written.cache.path) else written.cache,
    )


def _placed(merge: Merge) -> Merge:
    return replace(merge, output=replace(merge.output, path=f"out/{merge.name}")) if _ABSOLUTE.match(merge.output.path) else merge


def template_files(modelfile: Modelfile) -> Iterator[tuple[Merge, str]]:
    """Yield the chat templates of merges that are files, by their paths."""
    for merge in modelfile.merges.values():
        wanted = merge.tokenizer.chat_template
        if wanted and not is_template(wanted) and wanted not in {*BY_NAME, *modelfile.read, *modelfile.merges}:
            yield merge, wanted


def stays_inside(path: str) -> bool:
    """Tell whether a path leads to something below the directory that it starts from, by its words alone."""
    return not _ABSOLUTE.match(path) and "\\" not in path and ".." not in PurePosixPath(path).parts


def _beside(project: Project, written: Modelfile, target: str) -> dict[str, bytes]:
    """Return the files that merges of a target name."""
    nodes, found = project.graph.upstream((target,)), {}
    for merge, name in template_files(written):
        if merge.name not in nodes:
            continue
        if not stays_inside(name):
            what = f"the chat template of `{merge.name}` lies outside of the Modelfile's directory"
            raise ModelbuildError(
                Problem(
                    what, at=f"merge.{merge.name}.tokenizer.chat_template", hint="put it beside the Modelfile, to be published with it"
                ),
                Exit.UNSAFE,
            )
        found[name] = read_small(project.where.root / name)
    return found


def refuse_private(text: str, label: str, root: Path) -> None:
    """Refuse to publish a text that names this machine's directories, or holds a token.

    Raises:
        ModelbuildError: exit 8, with the line and never what stands there of a token.

    """
    for number, line in enumerate(text.splitlines(), 1):
        if token := _TOKEN.search(line):
            what, fact = f"`{label}` would publish a token", f"line {number} holds one, {token[0][:5]}…"
            hint = "take it out, and revoke it: it may have been seen"
        elif own := private_path(line, root):
            what, fact = f"`{label}` would publish a path of this machine", f"line {number}: {plain(own)}"
            hint = "take it out, or write it relative to the Modelfile"
        else:
            continue
        raise ModelbuildError(Problem(what, facts=(fact,), hint=hint), Exit.UNSAFE)


def private_path(text: str, root: Path) -> str:
    """Return the first path in a text that is below somebody's home, or is that of the project, or ""."""
    if home := _HOME.search(text):
        return home[0]
    own = {str(path) for path in (root.absolute(), root.resolve()) if len(path.parts) > 1}
    return next((one for one in sorted(own) if re.search(rf"(?<![\w.-]){re.escape(one)}(?![\w.-])", text)), "")

"""The chat template of a result: by name, of a model, from a file, or written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from modelbuild.checkpoint.config import json_text
from modelbuild.checkpoint.templates import BY_NAME, is_template
from modelbuild.errors import Exit, ModelbuildError, Problem, did_you_mean
from modelbuild.graph import Node
from modelbuild.names import human_bytes
from modelbuild.plan.model import Files, Model
from modelbuild.reading import SMALL, read_small

JINJA, OLDER, CONFIG = "chat_template.jinja", "chat_template.json", "tokenizer_config.json"


def with_template(node: Node, files: Files, models: Mapping[str, Model], root: Path) -> Files:
    """Return a model's files with the chat template that its merge asks for, and no other."""
    wanted = node.merge.tokenizer.chat_template
    if not wanted:
        return files
    edits: dict[str, Callable[[], bytes]] = {JINJA: _template(node, wanted, models, root)}
    if CONFIG in files.held and "chat_template" in (config := files.json(CONFIG)):
        edits[CONFIG] = partial(json_text, {key: value for key, value in config.items() if key != "chat_template"})
    own = root / wanted
    origins = (own,) if not node.template and not is_template(wanted) and wanted not in BY_NAME else ()
    return replace(files.without({OLDER}).edited(edits), origins=(*files.origins, *origins))


def _template(node: Node, wanted: str, models: Mapping[str, Model], root: Path) -> Callable[[], bytes]:
    if node.template:
        return _of_model(node, models[node.template].files)
    if is_template(wanted):
        return wanted.encode
    if wanted in BY_NAME:
        return BY_NAME[wanted].encode
    path = root / wanted
    if path.is_file():
        if path.stat().st_size > SMALL:
            raise _problem(node, f"`{path}` is no chat template", f"it has {human_bytes(path.stat().st_size)}", "name a file of text")
        return partial(read_small, path)
    raise _problem(
        node,
        f"no chat template is called `{wanted}`",
        f"it is none of {', '.join(BY_NAME)}, no model of this file, and nothing is at {path}",
        did_you_mean(wanted, (*BY_NAME, *models)),
    )


def _of_model(node: Node, files: Files) -> Callable[[], bytes]:
    if JINJA in files.written:
        return files.written[JINJA]
    if JINJA in files.carried:
        return partial(read_small, files.carried[JINJA])
    for name in (CONFIG, OLDER):
        found = files.json(name).get("chat_template") if name in files.held else None
        if isinstance(found, list):  # several by name
            found = next((one.get("template") for one in found if isinstance(one, dict) and one.get("name") == "default"), None)
        if isinstance(found, str):
            return partial(found.encode, errors="replace")
    looked = f"looked in {JINJA}, {CONFIG}, {OLDER}"
    raise _problem(node, f"`{node.template}` has no chat template", looked, "name another model, or a file")


def _problem(node: Node, what: str, fact: str, hint: str) -> ModelbuildError:
    what = f"{what}, at `merge.{node.name}.tokenizer.chat_template`"
    return ModelbuildError(Problem(what, facts=(fact,), hint=hint or "write the template, or the path of a file"), Exit.USAGE)

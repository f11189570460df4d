"""A hub that does not give, or does not take."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelbuild import usecases as use_cases
from tests.cli.errors.scene import Case, Scene, Wrong, both, files, patched, sound
from tests.support.hub import Handler, Request

HUSHED = patched("huggingface_hub.utils._http.logger.disabled", True)
"""The client says nothing of its own."""

OPEN = "push --no-check --to hf://lab/open"


def answering(status: int, code: str = "", at: str = "", method: str = "") -> Wrong:
    """Refuse what is asked for at paths with a word in them."""

    def fault(handler: Handler, request: Request) -> bool:
        meant = at in request.path and method in ("", request.method)
        if meant:
            handler.refuse(status, code)
        return meant

    def wrong(project: Scene) -> None:
        project.hub.fault = fault

    return wrong


def nameless(project: Scene) -> None:
    """Have the hub name a branch where a commit is asked for."""

    def fault(handler: Handler, request: Request) -> bool:
        handler.answer(200, json.dumps({"id": "lab/base", "sha": "main", "siblings": []}).encode(), {"Content-Type": "application/json"})
        return True

    project.hub.fault = fault


def reordered(project: Scene) -> None:
    """Build, and have two tensors of a file that was fetched change places."""
    project.build()
    (path,) = (one.resolve() for one in (project.root / "home/hub/models--lab--code").glob("snapshots/*/model.safetensors"))
    query, key, none = b"layers.0.self_attn.q_proj", b"layers.0.self_attn.k_proj", b"layers.0.self_attn.-_proj"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(query, none).replace(key, query).replace(none, key))


def there(held: Mapping[str, bytes]) -> Wrong:
    """Have a repository hold files already."""
    return lambda project: project.hub.repository("lab/open").commit(held) and None


def relocked(old: str, new: str) -> Wrong:
    """Build what is locked, and change the lock."""

    def wrong(project: Scene) -> None:
        use_cases.lock(project.where)
        project.build()
        text = project.where.lock.read_text()
        at = text.index(old, text.index("[merge.release.files]"))
        project.where.lock.write_text(text[:at] + new + text[at + len(old) :])

    return wrong


CASES: dict[str, Case] = {
    "a hub that lets nobody read": (answering(403), "build"),
    "a hub that does not give": (both(HUSHED, answering(502, at="/resolve/")), "build"),
    "a hub that names no commit": (nameless, "build"),
    "a revision that is not there": (answering(404, "RevisionNotFound"), "build"),
    "a file that was another": (reordered, "build -j 1"),
    "a recipe that is too large": (there({"Modelfile.toml": b"#" * 1_100_000, "Modelfile.lock": b""}), "build hf://lab/open"),
    "a repository without a recipe": (sound, "build hf://lab/base"),
    "nowhere to publish": (sound, "push"),
    "a card that is not there": (sound, f"{OPEN} --card card.md"),
    "a card that is no text": (files({"card.md": b"\xff"}), f"{OPEN} --card card.md"),
    "a repository that everyone can read": (there({"LICENSE": b"words"}), f"{OPEN} --private"),
    "a repository with another model": (there({"model.safetensors": b"another"}), OPEN),
    "a recipe beside another model": (there({"model.safetensors": b"another"}), f"{OPEN} --recipe"),
    "a repository that is not shown": (
        both(there({"LICENSE": b"words"}), answering(404, "RepoNotFound", at="/api/models/lab/open", method="GET")),
        OPEN,
    ),
    "a lock with a file of no model": (relocked('"config.json"', '"config.py"'), f"{OPEN} -n"),
    "a lock of another file": (relocked("size = ", "size = 1"), f"{OPEN} -n"),
}

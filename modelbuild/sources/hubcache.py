"""Where the hub's client keeps files, and what stands beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def repository(repo: str) -> Path:
    """Return the directory that the client keeps a repository in."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def snapshot(repo: str, commit: str) -> Path:
    """Return the directory that the client keeps the files of a commit in, by name."""
    return repository(repo) / "snapshots" / commit


def shelf(name: str) -> Path:
    """Return the directory for what the client does not keep of a repository, or of a commit of it."""
    from huggingface_hub import cached_assets_path, constants

    return Path(cached_assets_path("modelbuild", namespace="hub", subfolder=name, assets_dir=constants.HF_ASSETS_CACHE))


def read_table(path: Path) -> dict[str, Any]:
    """Read a table that was left there: {} where there is none, or no sound one."""
    try:
        table = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def hashed(path: Path, like: str) -> str:
    """Hash a file as `like` was: by sha256, or as git does (sha1 of "blob SIZE NUL" and the content)."""
    import hashlib

    with path.open("rb") as file:
        if len(like) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        hasher = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while piece := file.read(1 << 20):
            hasher.update(piece)
        return hasher.hexdigest()

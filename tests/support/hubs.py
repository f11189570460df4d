"""The real client, pointed at a hub on this machine and a cache of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelbuild.sources import asking
from tests.support.hub import Hub, serving


@contextmanager
def client(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have huggingface_hub, in this process and in those it starts, ask that hub and keep files under `home`."""
    from huggingface_hub import constants, utils
    from huggingface_hub.utils import _http

    for name, value in {
        "HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(home / "assets"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(asking, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None, time=time.time, monotonic=time.monotonic))
    utils.disable_progress_bars()
    utils.close_session()
    yield
    utils.close_session()


@contextmanager
def hub_and_client(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a hub and point the client at it."""
    with serving() as hub, client(home, hub, monkeypatch):
        yield hub


def blobs(home: Path) -> list[Path]:
    """Return the contents that the client has fetched."""
    return sorted(path for path in (home / "hub").glob("models--*/blobs/*") if path.is_file())

"""A build that has nothing to do does nothing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from modelbuild import usecases as use_cases
from tests.faults.conftest import Tell
from tests.faults.doors import Numbered, put
from tests.faults.scenes import Scene, build, old_project, remove, snapshot
from tests.faults.warm import Warm


def again(scene: Scene, locked: bool) -> dict[str, Any]:
    """Build twice, and return what the second build did."""
    root = scene.place / "nothing"
    old_project(root)
    assert build(root).code == 0
    before = snapshot(root)
    door, requests = put(Numbered()), []
    socket.socket = lambda *args, **_: requests.append(args)  # type: ignore[assignment, misc]
    written = _written()
    outcome = use_cases.build(use_cases.Where(root / "Modelfile.toml"), (), use_cases.Options(locked=locked))
    bytes_written = _written() - written
    same = snapshot(root) == before
    remove(root)
    return {
        "run": outcome.actions.run, "operations": door.passed, "bytes": bytes_written, "requests": len(requests), "untouched": same,
    }  # fmt: skip


def _written() -> int:
    """Return the bytes that this process has given to write calls of any kind."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def test_a_build_with_nothing_to_do_writes_no_byte_and_makes_no_request(warm: Warm, scene: Scene, tell: Tell):
    """Counted at the door and by the system."""
    for locked in (False, True):
        did = warm.call(again, scene, locked)

        assert {"run": 0, "operations": 0, "bytes": 0, "requests": 0, "untouched": True} == did
    tell("a build with nothing to do: 0 operations, 0 bytes written, 0 requests")

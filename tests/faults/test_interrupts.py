"""Ctrl-C and SIGTERM end a build within two seconds, keep what is finished and say what that is."""

from __future__ import annotations

import re
import signal

import pytest

from tests.faults import interrupts
from tests.faults.conftest import Tell
from tests.faults.interrupts import Interrupted
from tests.faults.scenes import Scene
from tests.faults.warm import Warm


@pytest.mark.parametrize(
    ("number", "code", "kind", "slow", "after"),
    [
        (signal.SIGINT, 130, "sync", 5.0, 0.2),
        pytest.param(signal.SIGTERM, 143, "sync", 5.0, 0.2, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "write", 0.05, 0.6, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, "append", 0.05, 0.6, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_build_within_two_seconds_and_what_is_finished_is_kept(
    warm: Warm, scene: Scene, tell: Tell, number: int, code: int, kind: str, slow: float, after: float
):
    """While tensors are written, while they are noted, and while the disk takes five seconds to sync."""
    found: Interrupted = warm.call(interrupts.at, scene, number, kind, slow, after)

    assert "" == found.wrong
    assert code == found.ran.code
    assert found.seconds < 2.0
    kept = re.search(r"^kept (\d+) finished tensors? \(.*\) for the next build$", found.ran.err, re.MULTILINE)
    assert kept is not None
    assert "interrupted; finished tensors are kept: run the same command to go on" in found.ran.err
    tell(f"{signal.Signals(number).name} while a {kind} takes {slow} s: ended after {found.seconds:.2f} s, {kept[1]} tensors kept")

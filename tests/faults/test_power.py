"""Simulated loss of power: nothing visible is bad, and no success that was told is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from modelbuild.files import Operation
from tests.faults import power
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts, seed
from tests.faults.disk import Disk
from tests.faults.judging import judged
from tests.faults.power import Lost
from tests.faults.scenes import WAYS, Scene
from tests.faults.warm import Warm

CASES = [("over an old output", way) for way in WAYS] + [("from nothing", "exchange")]
BATCH = 50


def test_whatever_was_not_synced_outputs_are_whole_successes_stand_and_the_next_build_equals_a_clean_one(
    warm: Warm, scene: Scene, tell: Tell, amount: Amounts
):
    """Operations that nobody waited for are dropped, torn or reordered, at every moment; the index is lost, old or ahead."""
    states = amount("power")
    jobs = [
        (power.losses, (scene, *CASES[i % len(CASES)], seed(1) + i, min(BATCH, states // len(CASES))))
        for i in range(max(len(CASES), states // BATCH))
    ]

    found = judged(warm.run(jobs, width=2), Lost)

    stood = sum((lost.stood for lost in found), Counter())
    total = sum(lost.states for lost in found)
    seen = ", ".join(f"{stood[word]} {word}" for word in ("old", "new", "absent"))
    tell(f"loss of power: {total} states, 0 visible but bad, 0 successes lost ({seen}), rebuilt equal {total}/{total}")


@pytest.mark.parametrize(("synced", "kept"), [(False, {b"old", b"new", b"", b"n"}), (True, {b"new"})])
def test_the_disk_that_loses_power_is_a_harsh_one(tmp_path: Path, synced: bool, kept: set[bytes]):
    """A file that is replaced without a sync may be old, new, empty or torn: the simulation finds what it is to find."""
    import random

    (tmp_path / "root").mkdir()
    file, new = tmp_path / "root" / "file", tmp_path / "root" / "new"
    file.write_bytes(b"old")
    disk = Disk(tmp_path / "root", tmp_path / "root" / "index")
    operations = [Operation("create", new), Operation("write", new, data=b"n"), Operation("write", new, offset=1, data=b"ew")]
    operations += [Operation("sync", new)] * synced + [Operation("rename", file, new)] + [Operation("sync_directory", file.parent)] * synced
    for operation in operations:
        disk.do(operation)

    drawn, seen = random.Random(0), set()
    for i in range(200):
        nodes = disk.after(len(operations), power.CHOICES[i % len(power.CHOICES)], drawn)
        seen.add(bytes(nodes[nodes[1].names["file"]].data))

    assert kept <= seen
    assert not synced or kept == seen

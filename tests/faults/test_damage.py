"""Damage to every file of the cache and of outputs: noticed or healed, and never in a result."""

from __future__ import annotations

import random

from tests.faults import damage
from tests.faults.conftest import Tell
from tests.faults.counts import count, sample
from tests.faults.damage import KINDS, Damaged
from tests.faults.scenes import Scene
from tests.faults.warm import Warm


def test_damage_is_noticed_or_healed_and_outputs_come_out_bit_equal(warm: Warm, scene: Scene, tell: Tell):
    """Each kind to each file; where the times of the file did not move, `cache verify` and `verify --full` look."""
    drawn = random.Random(count("seed", 3))
    listed = warm.call(damage.targets, scene)
    places = [(what, i) for what, names in listed.items() for i in range(len(names))]
    jobs = []
    for seed in range(max(1, count("damage", 1))):
        for kind in KINDS:
            for what, i in places:
                for silent in (False, True):
                    if kind != "removal" or not silent:
                        jobs.append((damage.one, (scene, what, i, drawn.randrange(1 << 30), kind, seed, silent)))
    jobs = [jobs[i] for i in sample(len(jobs), count("damages", 12), offset=drawn.randrange(7))]

    found: list[Damaged] = []
    for ended in warm.run(jobs, width=2):
        assert ended.code == 0, ended
        found.append(ended.value)

    wrong = [one.wrong for one in found if one.wrong]
    assert [] == wrong[:4], len(wrong)
    tell(f"damage: {len(found)} times to {len(places)} files of 5 kinds, noticed or healed {len(found)}/{len(found)}, outputs bit-equal")

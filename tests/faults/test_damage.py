"""Damage to every file of the cache and of outputs: noticed or healed, and never in a result."""

from __future__ import annotations

import random
from itertools import cycle

from tests.faults import damage
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts, seed
from tests.faults.damage import KINDS, Damaged
from tests.faults.judging import judged
from tests.faults.scenes import Scene
from tests.faults.warm import Warm


def test_damage_is_noticed_or_healed_and_outputs_come_out_bit_equal(warm: Warm, scene: Scene, tell: Tell, amount: Amounts):
    """Each kind to each file; where the times of the file did not move, `cache verify` and `verify --full` look."""
    drawn = random.Random(seed(3))
    listed = warm.call(damage.targets, scene)
    places = [(what, i) for what, names in listed.items() for i in range(len(names))]
    cases = [(kind, *place, silent) for kind in KINDS for place in places for silent in (False, True) if kind != "removal" or not silent]
    drawn.shuffle(cases)
    wanted = amount("damages") or len(cases)
    jobs = [
        (damage.one, (scene, what, which, drawn.randrange(1 << 30), kind, number, silent))
        for number, (kind, what, which, silent) in zip(range(wanted), cycle(cases), strict=False)
    ]

    found = judged(warm.run(jobs, width=2), Damaged)

    tell(f"damage: {len(found)} times to {len(places)} files of 5 kinds, noticed or healed {len(found)}/{len(found)}, outputs bit-equal")

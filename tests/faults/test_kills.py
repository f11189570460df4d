"""SIGKILL at every operation, in the middle of writes, while recovering, and from outside."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.faults import kills
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts, sample, seed
from tests.faults.judging import judged
from tests.faults.kills import Killed
from tests.faults.scenes import WAYS, Scene
from tests.faults.warm import Warm

CASES = [("over an old output", "exchange")] + [
    pytest.param(lay, way, marks=pytest.mark.slow)
    for lay, way in [*(("over an old output", way) for way in WAYS[1:]), ("from nothing", "exchange")]
]


def told(found: Sequence[Killed]) -> str:
    """Say what stood after the kills."""
    stood = Counter(word for one in found for word in one.stood)
    return f"0 corrupt ({', '.join(f'{stood[word]} {word}' for word in ('old', 'new', 'absent') if stood[word])}), rebuilt equal"


@pytest.mark.parametrize(("lay", "way"), CASES)
def test_whatever_operation_is_the_last_the_output_is_whole_and_the_next_build_equals_a_clean_one(
    warm: Warm, scene: Scene, tell: Tell, amount: Amounts, lay: str, way: str
):
    """At the last of them too; in the long form at all."""
    total = len(warm.call(kills.count, scene, lay, way))
    points = sample(total, amount("kills"))

    found = judged(warm.run([(kills.at, (scene, lay, way, (point,))) for point in points], width=2), Killed)

    assert all(one.dead for one in found)
    tell(f"SIGKILL at an operation, {lay}, {way}: {len(points)} of {total} points, {told(found)} {len(found)}/{len(points)}")


def test_a_write_that_was_cut_short_by_a_kill_is_no_write(warm: Warm, scene: Scene, tell: Tell, amount: Amounts):
    """Half of the bytes of every write are in the file."""
    kinds = warm.call(kills.count, scene, "over an old output", "copies")
    writes = [number for number, kind in enumerate(kinds) if kind in {"write", "append"}]
    points = [writes[i] for i in sample(len(writes), amount("torn"))]

    found = judged(warm.run([(kills.at_half, (scene, "copies", point)) for point in points], width=2), Killed)

    tell(f"SIGKILL in the middle of a write: {len(points)} of {len(writes)} writes, {told(found)} {len(found)}/{len(points)}")


def test_a_kill_while_a_kill_is_recovered_from_is_recovered_from(warm: Warm, scene: Scene, tell: Tell, amount: Amounts):
    """Pairs of operations, and a third build that ends."""
    drawn = random.Random(seed(1))
    total = len(warm.call(kills.count, scene, "over an old output", "exchange"))
    ways = ["exchange", "two renames"]
    pairs = [(drawn.choice(ways), (drawn.randrange(total), drawn.randrange(total))) for _ in range(amount("pairs"))]

    found = judged(warm.run([(kills.at, (scene, "over an old output", way, pair)) for way, pair in pairs], width=2), Killed)

    tell(f"SIGKILL while recovering from SIGKILL: {len(pairs)} pairs, {told(found)} {len(found)}/{len(pairs)}")


def test_a_kill_from_outside_at_any_time_is_recovered_from(warm: Warm, scene: Scene, tell: Tell, amount: Amounts):
    """With two workers, so that threads are in the middle of things."""
    drawn = random.Random(seed(2))
    taken = warm.call(kills.seconds, scene)
    times = [drawn.uniform(0, taken) for _ in range(amount("outside"))]

    found = judged(warm.run([(kills.from_outside, (scene, "exchange", seconds, 2)) for seconds in times]), Killed)

    dead = sum(one.dead for one in found)
    tell(f"SIGKILL from outside: {len(times)} times, {dead} before the end, {told(found)} {len(found)}/{len(times)}")

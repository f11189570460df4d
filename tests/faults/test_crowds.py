"""Any number of builds on one cache, with locks and without, and `cache gc` beside them."""

from __future__ import annotations

import pytest

from tests.faults import crowds
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts
from tests.faults.scenes import Scene
from tests.faults.warm import Warm


@pytest.mark.parametrize(
    ("builds", "locks", "collecting"),
    [
        (8, True, False),
        pytest.param(8, False, False, marks=pytest.mark.slow),
        pytest.param(4, True, True, marks=pytest.mark.slow),
        (4, False, True),
    ],
    ids=["8 builds", "8 builds, locks are no-ops", "4 builds beside gc", "4 builds beside gc, locks are no-ops"],
)
def test_builds_at_once_come_out_as_alone_and_leave_nothing(
    warm: Warm, scene: Scene, tell: Tell, amount: Amounts, request: pytest.FixtureRequest, builds: int, locks: bool, collecting: bool
):
    """Two builds of each of four projects on one cache; the collection removes every pack that it may."""
    known = warm.call(crowds.clean, scene)
    rounds = amount("rounds")

    batches = max(1, rounds // 5)
    sizes = [rounds // batches + (i < rounds % batches) for i in range(batches)]
    ended = warm.run([(crowds.rounds, (scene, known, size, builds, locks, collecting, i)) for i, size in enumerate(sizes)])

    for one in ended:
        assert one.code == 0, one
    wrong = [text for one in ended for text in one.value]
    assert [] == wrong[:3], len(wrong)
    tell(
        f"{request.node.callspec.id.partition('-')[2]}: {rounds} rounds, {builds * rounds}/{builds * rounds} builds ended well, outputs equal, nothing stray"
    )

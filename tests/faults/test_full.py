"""A disk that is full, at many sizes: foreseen, and met in the middle."""

from __future__ import annotations

import pytest

from tests.faults import full, scenes
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts
from tests.faults.full import Filled
from tests.faults.judging import judged
from tests.faults.scenes import Scene
from tests.faults.warm import Warm


@pytest.fixture(scope="module")
def large(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene with larger models."""
    prepared: Scene = warm.call(scenes.prepared, tmp_path_factory.mktemp("large"), full.LAYERS)
    return prepared


@pytest.mark.slow
@pytest.mark.parametrize("foresight", [True, False], ids=["foreseen", "met in the middle"])
def test_a_full_disk_leaves_the_old_output_exit_6_and_nothing_stray(warm: Warm, large: Scene, tell: Tell, amount: Amounts, foresight: bool):
    """From next to no free byte to nearly as many as the build needs; then there is room, and the next build equals a clean one."""
    if not warm.call(full.can_mount):
        pytest.skip("no mounts of its own for this user")
    need = warm.call(full.growth, large)
    sizes = amount("full")

    ended = warm.run([(full.with_free, (large, need * i // sizes, foresight)) for i in range(sizes)], width=2)

    found = judged(ended, Filled)
    assert {6} == {one.code for one in found[: sizes // 2]}
    foreseen = [one for one in found if one.foreseen]
    assert foresight or not foreseen  # where the index has no room to open nothing is certain: see test_preflight for what is
    assert all(one.kept == 0 for one in foreseen)
    codes = [one.code for one in found]
    tell(
        f"disk full at {sizes} sizes, {'foreseen' if foresight else 'met in the middle'}: exit 6 {codes.count(6)} "
        f"({len(foreseen)} before work, {sum(one.kept > 0 for one in found)} with work kept), it fitted {codes.count(0)}, "
        f"outputs intact and nothing stray {sizes}/{sizes}"
    )

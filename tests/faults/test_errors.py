"""Six errors at every operation, once and from then on."""

from __future__ import annotations

from collections import Counter

from tests.faults import errors, kills
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts, sample
from tests.faults.errors import CODES, Failed
from tests.faults.judging import judged
from tests.faults.scenes import Scene
from tests.faults.warm import Warm

CASES = [("over an old output", "exchange"), ("over an old output", "copies")]


def test_whatever_fails_is_told_with_its_exit_code_and_the_output_is_whole(warm: Warm, scene: Scene, tell: Tell, amount: Amounts):
    """Exit 6 with the old output or, where it failed later, the new one; or exit 0 with the new one, where it could be done without."""
    jobs = []
    for lay, way in CASES[: amount("errors") or None]:
        total = len(warm.call(kills.count, scene, lay, way))
        for at, name in enumerate(CODES):
            for sticky in (False, True)[amount("errors") == 1 :]:
                points = sample(total, amount("errors"), offset=(2 * at + sticky) * total // (2 * len(CODES)))
                jobs += [(errors.at, (scene, lay, way, point, name, sticky)) for point in points]

    found = judged(warm.run(jobs, width=2), Failed)

    codes = Counter(one.code for one in found)
    kinds = len({one.kind for one in found})
    tell(
        f"6 errors, once and sticky: {len(found)} faults in {kinds} kinds of operations, exit 6 {codes[6]}, done without {codes[0]}, "
        f"0 tracebacks, 0 corrupt, rebuilt equal {len(found)}/{len(found)}"
    )

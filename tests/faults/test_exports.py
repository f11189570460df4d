"""The same faults for exports: old or new stands whole, also where a directory becomes a file, and nothing is said too early."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest

from tests.faults import errors, full, interrupts, kills, power, scenes
from tests.faults.conftest import Tell
from tests.faults.counts import Amounts, sample, seed
from tests.faults.errors import CODES, Failed
from tests.faults.exports import EXPORTS
from tests.faults.full import Filled
from tests.faults.interrupts import Interrupted
from tests.faults.judging import judged
from tests.faults.kills import Killed
from tests.faults.power import Lost
from tests.faults.scenes import Scene
from tests.faults.test_kills import told
from tests.faults.warm import Warm

OVER = ("over an old output", "exchange")
CASES = [OVER, ("over an old output", "two renames"), ("from nothing", "exchange")]
BATCH = 50


def first(operations: list[tuple[str, str]]) -> int:
    """Return the number of the first operation of an export."""
    return next(i for i, (_, path) in enumerate(operations) if path.startswith("out/.rounded.modelbuild-"))


@pytest.mark.parametrize(("lay", "way"), [OVER, *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])])
def test_whatever_operation_is_the_last_exports_are_whole_and_the_next_build_equals_a_clean_one(
    exporting: Warm, exported: Scene, tell: Tell, amount: Amounts, lay: str, way: str
):
    """Of those from the first export on; a file of a converter's is known as ours whenever the build ended."""
    operations = exporting.call(kills.listed, exported, lay, way)
    before = first(operations)
    points = [before + i for i in sample(len(operations) - before, amount("export_kills"))]

    found = judged(exporting.run([(kills.at, (exported, lay, way, (point,))) for point in points], width=2), Killed)

    assert all(one.dead for one in found)
    total = len(operations) - before
    tell(f"exports: SIGKILL at an operation, {lay}, {way}: {len(points)} of {total} points, {told(found)} {len(found)}/{len(points)}")


@pytest.mark.slow
def test_a_write_of_an_export_that_was_cut_short_by_a_kill_is_no_write(exporting: Warm, exported: Scene, tell: Tell, amount: Amounts):
    """Half of the bytes are in the file."""
    operations = exporting.call(kills.listed, exported, *OVER)
    writes = [i for i, (kind, _) in enumerate(operations) if kind == "write" and i >= first(operations)]
    points = [writes[i] for i in sample(len(writes), amount("export_torn"))]

    found = judged(exporting.run([(kills.at_half, (exported, "exchange", point)) for point in points], width=2), Killed)

    tell(f"exports: SIGKILL in the middle of a write: {len(points)} of {len(writes)}, {told(found)} {len(found)}/{len(points)}")


@pytest.mark.slow
def test_kills_while_a_kill_is_recovered_from_and_from_outside_are_recovered_from(
    exporting: Warm, exported: Scene, tell: Tell, amount: Amounts
):
    """Pairs of operations; and times at which a converter may run."""
    drawn = random.Random(seed(4))
    operations = exporting.call(kills.listed, exported, *OVER)
    points = range(first(operations), len(operations))
    pairs = [
        (drawn.choice(("exchange", "two renames")), (drawn.choice(points), drawn.choice(points))) for _ in range(amount("export_pairs"))
    ]
    taken = exporting.call(kills.seconds, exported)
    times = [drawn.uniform(0, taken) for _ in range(amount("export_outside"))]

    twice = judged(exporting.run([(kills.at, (exported, OVER[0], way, pair)) for way, pair in pairs], width=2), Killed)
    outside = judged(exporting.run([(kills.from_outside, (exported, "exchange", seconds, 2)) for seconds in times]), Killed)

    tell(f"exports: SIGKILL while recovering from SIGKILL: {len(pairs)} pairs, {told(twice)} {len(twice)}/{len(pairs)}")
    dead = sum(one.dead for one in outside)
    tell(f"exports: SIGKILL from outside: {len(times)} times, {dead} before the end, {told(outside)} {len(outside)}/{len(times)}")


def test_what_was_not_synced_of_an_export_is_not_visible_and_no_success_is_lost(
    exporting: Warm, exported: Scene, tell: Tell, amount: Amounts
):
    """What a converter wrote is synced by nobody but the build."""
    states = amount("export_power")
    jobs = [
        (power.losses, (exported, *CASES[i % len(CASES)], seed(5) + i, min(BATCH, states // len(CASES) or 1)))
        for i in range(max(len(CASES), states // BATCH))
    ]

    found = judged(exporting.run(jobs, width=2), Lost)

    stood = sum((lost.stood for lost in found), Counter())
    total = sum(lost.states for lost in found)
    seen = ", ".join(f"{stood[word]} {word}" for word in ("old", "new", "absent"))
    tell(f"exports: loss of power: {total} states, 0 visible but bad, 0 successes lost ({seen}), rebuilt equal {total}/{total}")


def test_whatever_fails_in_an_export_is_told_and_what_stands_is_whole(exporting: Warm, exported: Scene, tell: Tell, amount: Amounts):
    """Six errors, each once and from then on."""
    operations = exporting.call(kills.listed, exported, *OVER)
    before, total = first(operations), len(operations) - first(operations)
    wanted = amount("export_errors")
    jobs = []
    for at, name in enumerate(CODES):
        for sticky in (at % 2 == 1,) if wanted == 1 else (False, True):
            points = sample(total, wanted, offset=(2 * at + sticky) * total // (2 * len(CODES)))
            jobs += [(errors.at, (exported, *OVER, before + point, name, sticky)) for point in points]

    found = judged(exporting.run(jobs, width=2), Failed)

    codes, kinds = Counter(one.code for one in found), len({one.kind for one in found})
    tell(
        f"exports: 6 errors, once and sticky: {len(found)} faults in {kinds} kinds of operations, exit 6 {codes[6]}, "
        f"done without {codes[0]}, 0 tracebacks, 0 corrupt, rebuilt equal {len(found)}/{len(found)}"
    )


@pytest.fixture(scope="module")
def large(exporting: Warm, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene with larger models."""
    prepared: Scene = exporting.call(scenes.prepared, tmp_path_factory.mktemp("large"), full.LAYERS, EXPORTS)
    return prepared


@pytest.mark.slow
@pytest.mark.parametrize("foresight", [True, False], ids=["foreseen", "met in the middle"])
def test_a_disk_too_full_for_exports_leaves_the_old_ones_and_nothing_stray(
    exporting: Warm, large: Scene, tell: Tell, amount: Amounts, foresight: bool
):
    """At many sizes, from next to no free byte to nearly as many as the build needs."""
    if not exporting.call(full.can_mount):
        pytest.skip("no mounts of its own for this user")
    need = exporting.call(full.growth, large)
    sizes = amount("export_full")

    ended = exporting.run([(full.with_free, (large, need * i // sizes, foresight)) for i in range(sizes)], width=2)

    found = judged(ended, Filled)
    codes = [one.code for one in found]
    tell(
        f"exports: disk full at {sizes} sizes, {'foreseen' if foresight else 'met in the middle'}: exit 6 {codes.count(6)} "
        f"({sum(one.foreseen for one in found)} before work), a converter failed {codes.count(1)}, it fitted {codes.count(0)}, "
        f"outputs intact and nothing stray {sizes}/{sizes}"
    )


@pytest.mark.parametrize(
    ("number", "code", "kind", "slow", "where"),
    [
        (signal.SIGINT, 130, "write", 0.3, "out/.rounded.modelbuild-"),
        pytest.param(signal.SIGTERM, 143, "write", 0.3, "out/.small.gguf.modelbuild-", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "sync", 5.0, "out/.small.gguf.modelbuild-", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "sync", 5.0, "out/.made.modelbuild-", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_build_in_the_middle_of_an_export(
    exporting: Warm, exported: Scene, tell: Tell, number: int, code: int, kind: str, slow: float, where: str
):
    """Nothing is left of it, unless the disk takes five seconds for what is asked of it, which nobody waits for."""
    found: Interrupted = exporting.call(interrupts.at, exported, number, kind, slow, 0.2, where)

    assert "" == found.wrong
    assert slow > 2.0 or found.left == ()
    assert code == found.ran.code
    assert found.seconds < 2.0
    tell(f"exports: {signal.Signals(number).name} while a {kind} takes {slow} s: ended after {found.seconds:.2f} s")


@pytest.mark.parametrize(
    ("number", "code", "deaf"),
    [
        (signal.SIGINT, 130, True),
        pytest.param(signal.SIGTERM, 143, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 143, False, marks=pytest.mark.slow),
    ],
)
def test_a_converter_ends_with_the_build_and_so_does_what_it_started(
    exporting: Warm, exported: Scene, tell: Tell, number: int, code: int, deaf: bool
):
    """Whether it wants to or not; and what it left goes."""
    found: Interrupted = exporting.call(interrupts.converting, exported, number, deaf)

    assert "" == found.wrong
    assert () == found.left
    assert code == found.ran.code
    assert found.seconds < 2.0
    tell(f"exports: {signal.Signals(number).name} while a converter runs: all of it ended after {found.seconds:.2f} s")

"""What past builds tell of the next one, and what a build tells of how far it is."""

from __future__ import annotations

import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import Cache, Index, stattable
from modelbuild.cache.paces import KEPT, PaceTable, Ran
from modelbuild.engine.tally import Tally
from modelbuild.events import Event, Sealing
from modelbuild.report.board import Board
from modelbuild.usecases import Options, Where
from modelbuild.usecases.outcome import Saved
from modelbuild.usecases.pace import Pace
from tests.support.checkpoints import random_tensors
from tests.support.projects import Project

SLOW, FAST = Ran({"ties": (100, 2.0)}, 2, 1.0, 100, 50), Ran({"ties": (300, 2.0), "slerp": (200, 1.0)}, 2, 2.0, 200, 70)


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are what they were although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)


def test_work_takes_what_it_took_before_shared_among_workers():
    """By hand: ties did 400 bytes in 4 seconds, slerp 200 in 1; 100 bytes of each take 1.5 seconds of a worker."""
    pace = Pace((SLOW, FAST))

    assert 0.75 == pace.merging({"ties": 100, "slerp": 100}, 2)
    assert pace.merging({"ties": 100, "karcher": 1}, 2) is None
    assert 0.0 == pace.merging({}, 2)


def test_a_build_takes_its_work_and_a_line_through_the_rest_of_others():
    """By hand: the rest was 1 second for 100 bytes and 2 for 200, so it is 3 for 300; a method that never ran is as slow as all, 5 s for 600."""
    pace = Pace((SLOW, FAST))

    assert pytest.approx(0.75 + 3.0) == pace.lasting({"ties": 100, "slerp": 100}, 2, 300)
    assert pytest.approx(5.0 * 60 / 600 + 1.0) == pace.lasting({"karcher": 60}, 1, 100)
    assert 80 == pace.memory(10)


def test_two_small_tensors_tell_nothing_of_a_model():
    """Of 600 bytes that took 5 seconds, of which 200 by slerp: up to a hundred times as much is foretold, and no more."""
    pace = Pace((SLOW, FAST))

    assert pytest.approx(100.0) == pace.merging({"slerp": 200 * 100}, 1)
    assert pace.merging({"slerp": 200 * 100 + 1}, 1) is None
    assert pace.lasting({"slerp": 600 * 100}, 1, 100) == pytest.approx(500.0 + 1.0)
    assert pace.lasting({"slerp": 600 * 100 + 1}, 1, 100) is None


def test_the_rest_never_falls_with_what_is_written():
    falling = Pace((Ran({"ties": (1, 1.0)}, 1, 2.0, 100, 0), Ran({"ties": (1, 1.0)}, 1, 1.0, 200, 0)))

    assert 1.5 == falling.lasting({}, 1, 1000)


def test_without_a_past_there_is_nothing_to_tell():
    assert Pace(()).merging({"ties": 1}, 1) is None
    assert Pace(()).lasting({"ties": 1}, 1, 1) is None
    assert Pace(()).memory(1) is None


def test_the_last_builds_of_a_device_are_remembered(tmp_path):
    table = PaceTable(Index(tmp_path / "index"))
    for i in range(KEPT + 2):
        table.remember("cpu", Ran({"ties": (i, 0.5)}, 1, 0.1, i, i))
    table.remember("cuda:0", SLOW)

    assert list(range(2, KEPT + 2)) == [ran.written for ran in table.of("cpu")]
    assert (SLOW,) == table.of("cuda:0")


def test_a_row_that_is_no_build_is_none(tmp_path):
    index = Index(tmp_path / "index")
    table = PaceTable(index)
    table.remember("cpu", SLOW)
    (key,) = index.scan("t:")
    good = index.get(key)

    index.put_many({key: [{"spent": 3}, None, {"jobs": 0}, *(good if isinstance(good, list) else [])]})

    assert (SLOW,) == table.of("cpu")


def test_a_forecast_is_judged_by_builds_that_were(diamond: Project):
    where = Where(diamond.root / "Modelfile.toml", overrides=("merge.blend.t=0.5",))

    before = use_cases.forecast(diamond.where)
    diamond.build()
    after = use_cases.forecast(where)
    (ran,) = PaceTable(Cache.open(diamond.root / "cache").index).of("cpu")

    assert (0, 1) == (before.past_builds, after.past_builds)
    assert {"ties", "dare_linear", "slerp", "copying"} <= set(ran.spent)
    assert ran.rest <= after.seconds
    assert 0 == use_cases.forecast(diamond.where).actions.run


def test_a_build_that_failed_teaches_nothing(diamond: Project):
    diamond.model("code", {name: values * float("nan") for name, values in random_tensors(1).items()})

    assert diamond.build(keep_going=True).problems
    assert () == PaceTable(Cache.open(diamond.root / "cache").index).of("cpu")


def test_the_first_of_a_method_count_as_the_others_took():
    """By hand: five of 10 bytes, the first in 100 seconds; the fifth takes 2 s, so that each of the first counts at most that."""
    tally = Tally()
    for span in (100.0, 2.0, 1.0, 2.0, 2.0):
        tally.spend("ties", 10, span)
    tally.spend("slerp", 10, 7.0)

    assert {"ties": (50, 9.0), "slerp": (10, 7.0)} == tally.spent()


def test_what_was_saved_is_what_did_not_run_and_was_not_read(diamond: Project):
    """The whole is 30 tensors of base and parts of two fine-tunes; a change of t runs 12 actions that read nothing of sources."""
    first, again = diamond.build(), diamond.build(overrides=["merge.blend.t=0.5"])
    null = diamond.build(overrides=["merge.blend.t=0.5"])

    assert 0 == first.saved.read
    assert 0.0 == first.saved.seconds
    assert first.whole == Saved(first.bytes.read, first.whole.seconds)
    assert 0 < again.saved.read == first.bytes.read - again.bytes.read
    assert 0 < (again.saved.seconds or 0) < (again.whole.seconds or 0)
    assert null.saved.read == first.whole.read


@pytest.mark.parametrize("keep", ["true", pytest.param("false", marks=pytest.mark.slow)])
@pytest.mark.parametrize("force", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_bar_ends_where_it_was_to_end(diamond: Project, keep: str, *, force: bool):
    """Whatever is computed, spared, or copied: its bytes come to the total that was told as work began."""
    for name in ("skills", "talk", "blend"):
        diamond.edit(f"[merge.{name}]", f"[merge.{name}]\nkeep = {keep}")
    for overrides in ((), ("merge.blend.t=0.5",), ("merge.talk.seed=3",)):
        board, told = Board(lambda: 0.0), []

        def report(event: Event, board: Board = board, told: list[Event] = told) -> None:
            if isinstance(event, Sealing):
                told.append(board.done - board.total)
            board.take(event)

        where = Where(diamond.root / "Modelfile.toml", overrides=overrides)
        outcome = use_cases.build(where, (), Options(force=force, jobs=1), report)

        assert board.started is not None
        assert board.merged == outcome.actions.run
        assert board.merged + board.reused == outcome.actions.total
        assert [0] == told

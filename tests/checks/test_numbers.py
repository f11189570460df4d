"""The arithmetic of checks, by hand: windows, repetition, intervals, and numbers that are none."""

from __future__ import annotations

from math import exp, isnan, nan
from pathlib import Path

import numpy as np
import pytest

from modelbuild.checks.generation import faults, repetition
from modelbuild.checks.intervals import difference, interval
from modelbuild.checks.loading import Subject
from modelbuild.checks.measured import MOST_UNITS, Answer, Measured, Part, from_json, part_of
from modelbuild.checks.perplexity import windows_of
from modelbuild.checks.verdicts import judge
from modelbuild.checks.weights import finite
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.modelfile.bounds import read_bound
from modelbuild.modelfile.evaluation import Check, Generation, Prediction, Prompt
from tests.support.checkpoints import random_tensors, write_model


@pytest.mark.parametrize(("length", "window", "stride"), [(10, 4, 4), (10, 4, 2), (9, 4, 4), (2, 4, 4), (5, 4, 4), (11, 3, 1), (1, 4, 4)])
def test_every_token_but_the_first_counts_once(length: int, window: int, stride: int):
    cut = list(windows_of(range(length), window, stride))

    assert list(range(1, length)) == [token for ids, first in cut for token in ids[first:]]
    assert all(len(ids) <= window + 1 and first >= 1 for ids, first in cut)


def test_windows_that_overlap_give_context():
    assert [((0, 1, 2, 3, 4), 1), ((2, 3, 4, 5, 6), 3), ((4, 5, 6, 7), 3)] == list(windows_of(range(8), 4, 2))


@pytest.mark.parametrize(
    ("tokens", "share"), [([1, 2, 3], 0.0), ([1, 2, 3, 4, 5], 0.0), ([7] * 10, 6 / 7), ([1, 2, 3, 4, 1, 2, 3, 4], 0.2)]
)
def test_repetition_is_the_share_of_4_grams_seen_before(tokens: list[int], share: float):
    assert share == pytest.approx(repetition(tokens))


def test_answers_are_held_against_the_patterns_of_all_and_of_their_prompt():
    how = Generation((Prompt("2+2=", ("^4",)), Prompt("hello", forbid=("damn",))), ("o|4",), ("TODO",), 0.5, 8, chat=False)

    assert [] == list(faults([Answer("4", 0.0), Answer("hello", 0.5)], how))
    assert [
        '"2+2=" gave "5", which does not match `o|4`',
        '"2+2=" gave "5", which does not match `^4`',
        '"hello" gave "oh damn TODO", which matches `TODO`',
        '"hello" gave "oh damn TODO", which matches `damn`',
        '"hello" gave "oh damn TODO", of which 90% is repeated: at most 50%',
    ] == list(faults([Answer("5", 0.0), Answer("oh damn TODO", 0.9)], how))


def test_an_interval_covers_the_mean_of_what_units_are_drawn_from():
    """Of 50 samples of 60 units, 95 % intervals hold the true mean in 88 % to 98 %."""
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(50):
        span = interval(Measured({"text": part_of([(value, 1.0) for value in draw.exponential(2.0, 60)])}))
        held += span.low <= 2.0 <= span.high

    assert 44 <= held <= 49


def test_what_is_hard_for_both_cancels_out_of_a_difference():
    draw = np.random.default_rng(2)
    hard = draw.normal(5.0, 1.0, 100)
    ours, theirs = (
        Measured({"text": part_of([(x + shift + small, 1.0) for x, small in zip(hard, draw.normal(0, 0.01, 100), strict=True)])})
        for shift in (0.05, 0.0)
    )
    apart, alone = difference(ours, theirs), interval(ours)

    assert "paired bootstrap" == apart.how
    assert 0.04 < apart.low < apart.value < apart.high < 0.06
    assert alone.high - alone.low > 0.3


def test_a_perplexity_is_the_exponential_of_the_mean_over_texts_of_the_mean_over_tokens():
    """By hand: (2 + 4) / 4 = 1.5 and 3 / 3 = 1 nats, so exp(1.25)."""
    measured = Measured({"a": part_of([(2.0, 1.0), (4.0, 3.0)]), "b": part_of([(3.0, 3.0)])}, exponential=True)

    assert exp(1.25) == pytest.approx(measured.value)


def test_without_units_the_standard_error_gives_the_interval():
    """Of two tasks with 0.02 each: 0.02 / sqrt(2), times 1.96."""
    measured = Measured({"a": Part(0.5, error=0.02), "b": Part(0.7, error=0.02)})
    span = interval(measured)

    assert ("standard error", 0.6) == (span.how, pytest.approx(span.value))
    assert 0.0277 == pytest.approx(span.high - span.value, abs=1e-4)
    assert 0.0392 == pytest.approx(difference(measured, measured).high, abs=1e-4)


def test_a_measurement_comes_back_from_its_record_nan_and_infinity_as_nan():
    measured = Measured({"a": Part(nan, ((float("inf"), 2.0), (1.0, 1.0)))}, "windows", exponential=True, higher_is_better=False)
    told = Measured(answers=(Answer("21\n", 0.25),), problems=("p",), facts=("f",))
    back = from_json(measured.to_json())

    assert told == from_json(told.to_json())
    assert back is not None
    assert isnan(back.parts["a"].units[0][0])
    assert isnan(back.value)
    assert [None, None, None] == [from_json(other) for other in (None, {}, {**told.to_json(), "parts": {"a": 1}})]


def test_of_many_units_neighbours_are_taken_together_and_nothing_is_lost():
    part = part_of([(float(i), 1.0) for i in range(5000)])

    assert len(part.units) <= MOST_UNITS
    assert (5000.0, 2499.5) == (sum(count for _, count in part.units), part.value)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_finite_counts_nan_and_infinity_and_nothing_else(tmp_path: Path, dtype: str):
    """The largest and the smallest numbers of a type, and zero, are finite."""
    tensors = random_tensors(0)
    tensors["model.norm.weight"][:4] = [0.0, 65504.0, -6e-8, -0.0]
    write_model(tmp_path / "sound", tensors, dtype=dtype)
    data = (tmp_path / "sound" / "model.safetensors").read_bytes()
    (tmp_path / "broken").mkdir()
    # The last tensors are norms and the head; numbers of 2 bytes end in NaN, those of 4 in infinity.
    last = {"BF16": b"\xc0\x7f", "F16": b"\x00\xfc", "F32": b"\x00\x00\x80\xff"}[dtype]
    (tmp_path / "broken" / "model.safetensors").write_bytes(data[: -len(last)] + last)

    assert () == finite(Subject("sound", tmp_path / "sound", "")).problems
    (problem,) = finite(Subject("broken", tmp_path / "broken", "")).problems
    assert problem.endswith("that are NaN or infinite")
    assert " has 1 of " in problem


TEXT = Check("heldout", "perplexity", (), ("check", "heldout"), how=Prediction(("t",), (), 8, 8, "loss"))


def loss(value: float) -> Measured:
    return Measured({"t": part_of([(value, 1.0)] * 3)}, "windows", higher_is_better=False)


def verdict(check: Check, ours: float, **others: float) -> tuple[str, tuple[str, ...]]:
    found = judge(check, loss(ours), lambda name: loss(others[name]), tuple(others) if check.needs_parents else ())
    return found.state, found.said


def test_a_score_is_held_against_bounds_that_rest_on_parents():
    from msgspec.structs import replace

    most = replace(TEXT, most=read_bound("1.05 * best(parents)"))
    kept = replace(TEXT, retention=read_bound("95 %"))

    assert ("measured", ("loss 3 (3 to 3)",)) == verdict(TEXT, 3.0)
    assert ("passed", ("loss 3 (3 to 3)", "at most 3.045 = 1.05 * best(parents)")) == verdict(most, 3.0, a=2.9, b=4.0)
    assert ("failed", ("loss 3.1 (3.1 to 3.1)", "not at most 3.045 = 1.05 * best(parents)")) == verdict(most, 3.1, a=2.9, b=4.0)
    assert ("passed", ("loss 3 (3 to 3)", "96.7% of a's 2.9 retained, at least 95.0% asked for")) == verdict(kept, 3.0, a=2.9, b=4.0)
    assert "failed" == verdict(kept, 3.2, a=2.9, b=4.0)[0]
    assert ("failed", ("its score is no number",)) == verdict(most, nan, a=2.9)
    assert "failed" == verdict(most, 1.0, a=nan)[0]


def test_a_parent_that_cannot_be_measured_fails_the_check_in_words():
    from msgspec.structs import replace

    broken = ModelbuildError(Problem("`a` cannot be measured", facts=("KeyError: x",)), Exit.ACTION_FAILED)
    found = judge(replace(TEXT, most=read_bound("best(parents)")), loss(1.0), lambda name: broken, ("a",))

    assert ("failed", "`a` has no score: KeyError: x") == (found.state, found.said[-1])

"""Bounds on scores: arithmetic on the scores of other models, and nothing else."""

from __future__ import annotations

from math import isnan

import pytest

from modelbuild.modelfile.bounds import read_bound

SCORES = {"code": 10.0, "a-b": 4.0}


@pytest.mark.parametrize(
    ("written", "lower", "higher"),
    [
        (7, 7.0, 7.0),
        ("0.5", 0.5, 0.5),
        ("1.05 * best(parents)", 2.1, 8.4),
        ("95 %", 0.95, 0.95),
        ("worst(parents) - mean(parents)", 3.0, -3.0),
        ("min(parents) + max(parents, 20)", 22.0, 22.0),
        ("code / 2 + score('a-b')", 9.0, 9.0),
        ("-(2 + 3) * 4 / 2", -10.0, -10.0),
        ("2 - 1 - 1", 0.0, 0.0),
        ("--3", 3.0, 3.0),
    ],
)
def test_a_bound_is_worked_out_by_hand(written: float | str, lower: float, higher: float):
    """Of parents with the scores 2, 8 and 5; `best` is 2 where lower is better and 8 where higher is."""
    bound = read_bound(written)

    assert lower == pytest.approx(bound.value(SCORES.__getitem__, (2.0, 8.0, 5.0), higher_is_better=False))
    assert higher == pytest.approx(bound.value(SCORES.__getitem__, (2.0, 8.0, 5.0), higher_is_better=True))


@pytest.mark.parametrize("written", ["1 / (code - 10)", "1e308 * code", "mean(code * 1e307, 1e308)"])
def test_what_is_no_number_is_nan_which_no_score_keeps(written: str):
    assert isnan(read_bound(written).value(SCORES.__getitem__, (), higher_is_better=True))


def test_a_parent_without_score_leaves_no_bound():
    assert isnan(read_bound("best(parents)").value(SCORES.__getitem__, (1.0, float("nan")), higher_is_better=False))


def test_the_models_of_a_bound_are_known_before_any_work():
    bound = read_bound("max(code, score('a-b'), code) * best(parents)")

    assert ("code", "a-b") == bound.models
    assert bound.of_parents
    assert not read_bound("code").of_parents


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("parents", "`parents` are several scores: write best(parents), worst(parents) or mean(parents)"),
        ("parents * 2", "`parents` are several scores: write best(parents), worst(parents) or mean(parents)"),
        ("1 +", "it ends too soon"),
        ("", "it ends too soon"),
        ("best()", "`)` was not expected there"),
        ("best(parents", "a `)` is missing"),
        ("1 2", "`2` was not expected there"),
        ("__import__('os')", "there is no function `__import__`: best, worst, mean, min, max, score"),
        ("code.score", "`.` has no meaning here"),
        ("[1]", "`[` has no meaning here"),
        ("(" * 40 + "1" + ")" * 40, "it is nested deeper than 30 levels"),
        ("1/0", "it divides by 0"),
        ("best(parents) / (2 - 2)", "it divides by 0"),
        ("code / -0 %", "it divides by 0"),
        ("max(1e308 * 10, 1) * code", "it holds a number that is too large"),
        ("1e400", "it holds a number that is too large"),
        ("mean(1e308, 1e308)", "it holds a number that is too large"),
        ("1+" * 300 + "1", "it has more than 500 characters"),
    ],
)
def test_what_is_no_bound_says_why(written: str, why: str):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is what is asserted
        read_bound(written)

    assert why == str(refused.value)

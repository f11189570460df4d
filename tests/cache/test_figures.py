"""Figures and times in the index: what is stored is found, and what is none is a miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.cache.figures import Figures, FigureTable, figures_key
from modelbuild.cache.index import Index
from modelbuild.cache.timings import Timings

A, B, C = "a" * 64, "b" * 64, "c" * 64
FIGURES = Figures((25.0, 3.0, 0.1, 2.0, 1 / 3, 5e-324), 3, 0, 2, (3,), (2,), 4)


def test_figures_are_found_as_they_were_stored(tmp_path: Path):
    table = FigureTable(Index(tmp_path))

    table.put_many({A: FIGURES})

    assert {A: FIGURES} == table.get_many([A, B])


def test_a_key_says_which_is_base_which_are_parents_in_order_and_which_the_result():
    keys = {
        figures_key(A, (B, C), A),
        figures_key(A, (C, B), A),
        figures_key(B, (B, C), A),
        figures_key(A, (B,), C),
        figures_key(A, (B, C), B),
    }

    assert 5 == len(keys)


@pytest.mark.parametrize(
    "row",
    [
        "",
        3,
        [],
        [[1.0], 1, 1, 1, [1], [1], 1],
        [[1.0] * 6, 1, 1, 1, [1], [], 1],
        [[1] * 6, 1, 1, 1, [1], [1], 1],
        [[10**400] * 6, 1, 1, 1, [1], [1], 1],
    ],
)
def test_a_row_that_holds_no_figures_is_a_miss(tmp_path: Path, row: object):
    index = Index(tmp_path)
    index.put_many({"q:" + A: row})

    assert {} == FigureTable(index).get_many([A])


def test_figures_that_no_tensors_have_are_no_error():
    """Whoever wrote them into the index."""
    odd = Figures((-1.0, float("inf"), float("nan"), -3.0, 1.0, 1.0), 0, 0, 0, (0,), (0,), 0)

    assert [None] * 5 == [odd.moved, odd.cosine_to_base, odd.changed_share, odd.kept_share(0), odd.between_parents]


def test_times_are_added_to_and_belong_to_one_project(tmp_path: Path):
    index = Index(tmp_path)
    timings = Timings(index, tmp_path / "Modelfile.toml")

    timings.remember({("skills", "a"): 0.25, ("skills", "b"): 1.0, ("gone", "c"): 1.0}, {"skills": {"a": A, "b": B}})
    timings.remember({("skills", "b"): 2.0}, {"skills": {"a": A, "b": C}})

    assert {"a": (A[:16], 0.25), "b": (C[:16], 2.0)} == timings.of("skills")
    assert {} == timings.of("gone")
    assert {} == Timings(index, tmp_path / "Other.toml").of("skills")

"""What is built and seldom meant: told as a warning, once, and never an error."""

from __future__ import annotations

import pytest

from modelbuild import usecases as use_cases
from modelbuild.events import Event, Warned
from tests.support.checkpoints import llama_config, random_tensors
from tests.support.projects import DIAMOND, Project

SOURCES = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.out]
"""


def warned(project: Project, text: str) -> list[str]:
    """Return the warnings of a Modelfile, which a forecast tells as well."""
    project.write(text)
    told: list[Event] = []
    warnings = use_cases.forecast(project.where, report=told.append).warnings
    assert list(map(Warned, warnings)) == told
    return list(warnings)


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (
            'method = "linear"\ninputs = [{ model = "code", weight = 0.95 }, { model = "math", weight = 0.05 }]',
            ["`out` gives `code` 95% of the weight: the others hardly count"],
        ),
        (
            'method = "ties"\nbase = "base"\ninputs = [{ model = "code", weight = 0.01 }, { model = "math", weight = -1.0 }]',
            ["`out` gives `math` 99% of the weight: the others hardly count"],
        ),
        ('method = "linear"\ninputs = [{ model = "code", weight = 0.94 }, { model = "math", weight = 0.06 }]', []),
        ('method = "linear"\ninputs = [{ model = "code", weight = [0.0, 1.0] }, { model = "math", weight = [1.0, 0.0] }]', []),
        (
            'method = "linear"\ninputs = ["code", "math"]\nnormalize = false',
            ["`out` sums weights that come to 2: without `normalize` every tensor is scaled by that"],
        ),
        ('method = "linear"\ninputs = ["code", "math"]', []),
        ('method = "linear"\nweight = 0.5\ninputs = ["code", "math"]\nnormalize = false', []),
        ('method = "linear"\ninputs = ["code"]\nnormalize = false', []),
    ],
)
def test_weights_that_hardly_count_or_scale_are_told(project: Project, merge: str, expected: list[str]):
    project.family()

    assert expected == warned(project, SOURCES + merge)


def test_drops_of_what_was_dropped_are_told(project: Project):
    project.family()
    dare = 'method = "dare_ties"\nbase = "base"\ndensity = 0.5\n'

    assert ["`out` drops at random from `first`, which was dropped from at random already"] == warned(
        project, f'{SOURCES}{dare}inputs = ["first", "math"]\n[merge.first]\n{dare}inputs = ["code", "math"]\n'
    )


def test_models_that_mean_something_else_by_their_weights_are_told(project: Project):
    """Shapes agree; heads and positions do not."""
    project.family()
    config = llama_config(3) | {"num_attention_heads": 4, "rms_norm_eps": 1e-6}
    project.model("math", random_tensors(2), config=config)

    facts = "rms_norm_eps: 1e-05 in `code`, 1e-06 in `math`; num_attention_heads: 2 in `code`, 4 in `math`"
    assert [f"`out` merges models whose config.json differ in {facts}"] == warned(
        project, SOURCES + 'method = "slerp"\nt = 0.5\ninputs = ["code", "math"]'
    )


def test_a_sound_graph_has_no_warnings(project: Project):
    project.family()

    assert [] == warned(project, DIAMOND)

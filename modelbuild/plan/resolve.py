"""Parameters for one tensor: the first rule that matches wins, gradients are interpolated over the layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from modelbuild.checkpoint.anatomy import Part
from modelbuild.graph import Chain
from modelbuild.modelfile.model import Gradient, Rule, Scalar


class Spot(Struct, frozen=True):
    """Where a tensor stands in its node's output.

    Args:
        name: its name there.
        part: embedding, layers or head.
        layer: its layer there, or -1.
        span: the layers (first, last + 1) of its slice, or of the node where there are no slices.

    """

    name: str
    part: Part
    layer: int
    span: tuple[int, int]


class Unset(Exception):
    """A parameter has no value for a tensor: every rule looks at others."""


def rule_at(chain: Chain, spot: Spot) -> Rule:
    """Return the rule that a parameter's value for the tensor at `spot` comes from.

    Raises:
        Unset: if no rule matches and there is no default.

    """
    for setting in chain:
        for rule in setting:
            if matches(rule, spot):
                return rule
    raise Unset


def value_of(rule: Rule, spot: Spot) -> Scalar:
    """Return the value that a rule gives a tensor: by its part and layer, whatever its name."""
    return _interpolated(rule, rule.value, spot) if isinstance(rule.value, tuple) else rule.value


def constant(chain: Chain) -> Scalar | None:
    """Return the value that a parameter has everywhere, or None where that depends on the tensor."""
    rule = chain[0][0]
    return None if rule.filter or rule.layers or isinstance(rule.value, tuple) else rule.value


def matches(rule: Rule, spot: Spot) -> bool:
    """Tell whether a rule speaks of the tensor at `spot`."""
    if rule.layers and not rule.layers[0] <= spot.layer < rule.layers[1]:
        return False
    return not rule.filter or pattern_of(rule.filter).search(spot.name) is not None


def unmatched(chain: Chain, spots: Iterable[Spot]) -> Iterable[Rule]:
    """Return the rules of a chain that match no tensor at all."""
    spots = tuple(spots)
    return [
        rule for setting in chain for rule in setting if (rule.filter or rule.layers) and not any(matches(rule, spot) for spot in spots)
    ]


@lru_cache(maxsize=4096)
def pattern_of(glob: str) -> re.Pattern[str]:
    """Compile a glob over whole dotted components; `*` and `?` do not cross a dot."""
    first, *others = (
        "".join("[^.]" if char == "?" else re.escape(char) for char in piece) for piece in re.sub(r"\*+", "*", glob).split("*")
    )
    # What stands between two stars is taken where it first comes: if that does not fit, no later place does.
    inner, last = "".join(rf"(?>[^.]*?{piece})" for piece in others[:-1]), "".join(f"[^.]*{piece}" for piece in others[-1:])
    return re.compile(rf"(?:^|\.){first}{inner}{last}(?:\.|$)")


def _interpolated(rule: Rule, gradient: Gradient, spot: Spot) -> float:
    """Return a gradient's value: linear over its layers; embeddings take the first value, norm and head the last."""
    if spot.part is not Part.LAYERS and rule.outside is not None:
        return rule.outside
    span = rule.layers or spot.span
    if spot.part is Part.EMBEDDING:
        return float(gradient[0])
    count = span[1] - span[0]
    if spot.part is Part.HEAD or count == 1:
        return float(gradient[-1])
    place = (spot.layer - span[0]) / (count - 1) * (len(gradient) - 1)
    below = min(int(place), len(gradient) - 2) if len(gradient) > 1 else 0
    share = place - below
    return float(gradient[below]) if share == 0 else float(gradient[below] * (1 - share) + gradient[below + 1] * share)

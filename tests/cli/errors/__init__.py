"""What a user does wrong, or meets, by group: each case is what is wrong, and the command that finds it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cli.errors import checks, commands, exports, history, hub, locks, mergekit, midway, modelfile, models, products, sources
from tests.cli.errors.scene import Case

ERRORS: Mapping[str, Mapping[str, Case]] = {
    group.__name__.rpartition(".")[2]: group.CASES
    for group in (modelfile, models, products, exports, sources, commands, locks, mergekit, checks, midway, history, hub)
}
"""By the name of its module."""

SLOW = {"checks", "exports", "history", "hub", "locks"}
"""Groups that take longer than an everyday run has for them."""

ON_A_HUB = {"hub"}
"""Groups whose sources are on a hub."""

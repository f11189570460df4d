"""A plan with everything that can be said of it without building."""

from __future__ import annotations

from collections.abc import Sequence

from modelbuild.cache import Cache
from modelbuild.cache.history import History
from modelbuild.plan import Action, Plan, Ref
from modelbuild.stale import key_of
from modelbuild.usecases.foretelling import Forecast
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.where import Where


class View:
    """A project planned and judged, for looking at.

    Args:
        where: the Modelfile and its cache.
        targets: names of merges; none means the default ones.

    """

    def __init__(self, where: Where, targets: Sequence[str]) -> None:
        self.project = Project.open(where)
        self.plan: Plan = self.project.plan(self.project.targets(targets))
        self.cache: Cache = self.project.cache()
        self.forecast = Forecast(self.plan, self.cache, Options())
        self.judged, self.sources, self.device = self.forecast.judged, self.forecast.sources, self.forecast.device
        self.history = History(self.cache.index, where.file)

    def digest(self, ref: Ref) -> str:
        """Return a tensor's digest if it is known without computing, else ""."""
        return self.forecast.digest(ref)

    def key(self, action: Action) -> str:
        """Return an action's key, "" where an input's digest is not known."""
        digests = tuple(map(self.digest, action.needs))
        return key_of(action, digests, self.device) if all(digests) else ""

    def close(self) -> None:
        """Close the sources' files and the index."""
        self.sources.close()
        self.cache.close()

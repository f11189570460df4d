"""What past builds on this machine tell of the time and the memory of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from modelbuild.cache.paces import Ran

_REACH = 100
"""How many times the work that was ever done here may be foretold from it: two small tensors tell nothing of a model."""


class Pace(Struct, frozen=True):
    """How fast builds were.

    Args:
        builds: past ones.

    """

    builds: Sequence[Ran]

    def merging(self, costs: Mapping[str, int], jobs: int) -> float | None:
        """Return the seconds that work takes on so many workers, or None where a part of it was hardly ever done here.

        Args:
            costs: bytes that go in and come out, by method.
            jobs: workers.

        """
        total = 0.0
        for kind, nbytes in costs.items():
            rate = self._rate(kind, nbytes)
            if rate is None:
                return None
            total += nbytes * rate
        return total / jobs

    def lasting(self, costs: Mapping[str, int], jobs: int, written: int) -> float | None:
        """Return the seconds of a whole build, or None where past ones tell too little; a method that hardly ran is as slow as all."""
        known = [ran.spent for ran in self.builds if ran.spent]
        if not known:
            return None
        nbytes, seconds = (sum(part) for part in zip(*(pair for spent in known for pair in spent.values()), strict=True))
        if nbytes * _REACH < sum(costs.values()):
            return None
        usual = seconds / nbytes if nbytes else 0.0
        rates = {kind: self._rate(kind, cost) for kind, cost in costs.items()}
        work = sum(cost * (usual if rate is None else rate) for (kind, cost), rate in zip(costs.items(), rates.values(), strict=True))
        return work / jobs + self._rest(written)

    def memory(self, buffers: int) -> int | None:
        """Return the largest resident set of a build with such buffers, or None without a past one."""
        return buffers + max(ran.memory for ran in self.builds) if self.builds else None

    def _rate(self, kind: str, wanted: int) -> float | None:
        """Return seconds of a worker for each byte, or None where too few were done for it to hold for so many."""
        done = [ran.spent[kind] for ran in self.builds if kind in ran.spent]
        nbytes = sum(count for count, _ in done)
        return sum(seconds for _, seconds in done) / nbytes if nbytes and nbytes * _REACH >= wanted else None

    def _rest(self, written: int) -> float:
        """Return the seconds in which no worker works: a line through those of past builds by the bytes they wrote, never falling."""
        at, took = [ran.written for ran in self.builds], [ran.rest for ran in self.builds]
        middle, mean = sum(at) / len(at), sum(took) / len(took)
        spread = sum((one - middle) ** 2 for one in at)
        slope = sum((one - middle) * (rest - mean) for one, rest in zip(at, took, strict=True)) / spread if spread else 0.0
        slope = max(0.0, min(slope, mean / middle if middle else 0.0))
        return mean + slope * (written - middle)

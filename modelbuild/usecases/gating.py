"""The gate: what is handed on passes its checks.  An export does before it is made, and for as long as it is to stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from modelbuild.cache import Cache
from modelbuild.checks.measures import places_read
from modelbuild.engine.publish import read_manifest
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Report, Warned
from modelbuild.plan import Plan
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.recorded import Recorded, recorded
from modelbuild.usecases.testing import Checked, checks_of, test
from modelbuild.usecases.where import Where


class Gate:
    """The gate of one build, which asks about each target once.

    Args:
        project: the Modelfile.
        plan: of the targets.
        cache: has the records.
        sources: the source files of the plan.
        options: of the build.
        report: told of what is measured.

    """

    def __init__(self, project: Project, plan: Plan, cache: Cache, sources: SourceFiles, options: Options, report: Report) -> None:
        """Ask nothing yet."""
        self._project, self._plan, self._cache, self._sources = project, plan, cache, sources
        self._options, self._report = options, report
        self._said: dict[str, ModelbuildError | None] = {}

    def ask(self, target: str) -> None:
        """Let a target through, as it stands; what no record holds is measured.

        Raises:
            ModelbuildError: the same one each time; exit 1 if a check fails.

        """
        if target not in self._said:
            self._said[target] = self._refusal(target)
        if error := self._said[target]:
            raise error

    def known(self, target: str, root: str) -> tuple[Recorded, ...]:
        """Return what is recorded of the checks of an output, if its tensors have a certain Merkle root."""
        return recorded(self._project, self._plan, self._cache, self._sources, target, root, self._options.device)

    def places(self, targets: Iterable[str]) -> tuple[Path, ...]:
        """Return the files that the checks of some targets read, and where more may come: when one changes, all is asked again."""
        root, modelfile = self._project.where.root, self._project.modelfile
        checks = dict.fromkeys(check for target in targets for check in checks_of(modelfile, target))
        return tuple(dict.fromkeys(path for check in checks for path in places_read(check, root)))

    def _refusal(self, target: str) -> ModelbuildError | None:
        options = replace(self._options, force=False)
        try:
            if options.no_check or not self._is_known_to_pass(target):
                gate(self._project.where, (target,), options, self._report, no_check=options.no_check)
        except ModelbuildError as error:
            return error
        return None

    def _is_known_to_pass(self, target: str) -> bool:
        found = self.known(target, read_manifest(self._plan.targets[target].path).root)
        return len(found) == len(checks_of(self._project.modelfile, target)) and all(one.passed is not False for one in found)


def gate(where: Where, targets: Sequence[str], options: Options, report: Report, *, no_check: bool) -> Checked | None:
    """See `modelbuild.usecases.gate`."""
    if no_check:
        report(Warned(f"--no-check: nothing was checked of {', '.join(targets)}"))
        return None
    tested = test(where, targets, options, report, only=(), again=False)
    if tested.failed:
        problems = [
            Problem(f"`{one.target}` fails its check `{one.check}`", facts=one.verdict.said, hint="--no-check hands it on all the same")
            for one in tested.failed
        ]
        raise ModelbuildError(problems, Exit.ACTION_FAILED)
    return tested

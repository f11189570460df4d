"""`modelbuild doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from modelbuild.cli.common import Common, Json, Mirrors, Offline


def doctor(
    context: typer.Context,
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask the hub for the sources that are there; nothing else here uses a network.")
    ] = False,
    offline: Offline = False,
    mirrors: Mirrors = None,
    json: Json = False,
) -> None:
    """Look at environment, cache, devices and Modelfile.

    Ends with 1 if anything would keep builds from working.
    """
    from modelbuild import usecases as use_cases
    from modelbuild.report import json_document
    from modelbuild.report.diagnosis import diagnosis

    common: Common = context.obj
    found = use_cases.diagnose(common.where(offline=offline, mirrors=mirrors), hub=hub)
    told = {"well": found.is_well, "findings": found.findings}
    common.out.say(json_document.document(told) if json else diagnosis(found, common.out.look))
    raise typer.Exit(int(not found.is_well))

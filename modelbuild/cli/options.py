"""Options that several commands have, and not all."""

from __future__ import annotations

from typing import Annotated

import typer

Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=0, metavar="N", help="Threads, of builds and of models; 0: one per core.", show_default=False)
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")]
Only = Annotated[
    list[str] | None, typer.Option("--check", metavar="NAME", help="This check alone, or a glob; may be repeated.", show_default=False)
]

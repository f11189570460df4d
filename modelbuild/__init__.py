"""modelbuild: make for model merging.

    import modelbuild

    modelbuild.build("Modelfile.toml", ["release"], set={"vars.blend": 0.5})

Everything that the command line does is a function here; each takes the path of a Modelfile first.  Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelbuild.errors import ModelbuildError
    from modelbuild.report.notebook import notebook
    from modelbuild.usecases import (
        Options,
        Outcome,
        build,
        cache_clean,
        cache_gc,
        cache_ls,
        cache_size,
        cache_verify,
        card,
        checkout,
        clean,
        compare,
        diagnose,
        diff,
        explain,
        export_mergekit,
        fetch,
        forecast,
        gate,
        import_mergekit,
        init,
        list_methods,
        lock,
        log,
        logged,
        push,
        restore,
        schema,
        search,
        show,
        status,
        test,
        verify,
        view_graph,
        view_report,
        watch,
        why,
    )

__version__ = "0.1.0"

__all__ = [
    "ModelbuildError",
    "Options",
    "Outcome",
    "build",
    "cache_clean",
    "cache_gc",
    "cache_ls",
    "cache_size",
    "cache_verify",
    "card",
    "checkout",
    "clean",
    "compare",
    "diagnose",
    "diff",
    "explain",
    "export_mergekit",
    "fetch",
    "forecast",
    "gate",
    "import_mergekit",
    "init",
    "list_methods",
    "lock",
    "log",
    "logged",
    "notebook",
    "push",
    "restore",
    "schema",
    "search",
    "show",
    "status",
    "test",
    "verify",
    "view_graph",
    "view_report",
    "watch",
    "why",
]

_ELSEWHERE = {"ModelbuildError": "modelbuild.errors", "notebook": "modelbuild.report.notebook"}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in __all__:
        raise AttributeError(f"module `modelbuild` has no attribute `{name}`")
    return getattr(import_module(_ELSEWHERE.get(name, "modelbuild.usecases")), name)


def __dir__() -> list[str]:
    """Return what is here, imported or not."""
    return [*__all__, "__version__"]

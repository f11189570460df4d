"""Quiet: what libraries say about themselves while they are at work for us is kept off the screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.RLock()
"""What is switched off belongs to the process: who comes second must not find it off and leave it so."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers, and what it imports, from drawing bars and giving advice; errors are still told."""
    import logging

    with _ONE_AT_A_TIME:
        before = logging.root.manager.disable
        logging.disable(max(before, logging.WARNING))
        try:
            from transformers.utils import logging as advice

            bars = advice.is_progress_bar_enabled()
            advice.disable_progress_bar()  # type: ignore[no-untyped-call]
            try:
                yield
            finally:
                if bars:
                    advice.enable_progress_bar()  # type: ignore[no-untyped-call]
        finally:
            logging.disable(before)

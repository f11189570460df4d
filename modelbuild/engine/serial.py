"""torch on one thread, for the while.

The bits of a decomposition depend on how many threads share it, and workers share the cores between them already: with as many
threads again for each, singular values of a small model's matrices took twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_inside = 0
_before = 0


@contextmanager
def serial() -> Iterator[None]:
    """Let torch use one thread in this thread, and as many as before when it is over.

    What torch is told counts for the thread that tells it, and for threads that come to torch later.  So each takes it back by
    itself, and what is taken back to is looked up while nobody is inside.
    """
    import torch

    global _inside, _before  # noqa: PLW0603 - torch's own is one for the process
    with _lock:
        if not _inside:
            _before = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_before)

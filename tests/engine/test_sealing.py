"""The thread that waits for the disk."""

from __future__ import annotations

import threading

from modelbuild.engine.sealing import Sealer


def test_closing_forgets_what_waits_and_waits_for_what_runs():
    begun, go, done = threading.Event(), threading.Event(), []
    sealer = Sealer(lambda: None)

    def seal(name: str) -> None:
        begun.set()
        go.wait()
        done.append(name)

    for name in ("runs", "waits"):
        sealer.submit(lambda name=name: seal(name))
    begun.wait()

    assert not sealer.close(0.01)
    go.set()
    assert sealer.close(10.0)
    assert sealer.close()
    assert ["runs"] == done

"""Fixtures of the tests that compute with torch."""

from tests.methods.conftest import one_thread

__all__ = ["one_thread"]

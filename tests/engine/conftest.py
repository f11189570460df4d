"""Fixtures of the tests that compute with torch."""

from tests.methods.conftest import cuda, one_thread

__all__ = ["cuda", "one_thread"]

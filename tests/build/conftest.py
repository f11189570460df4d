"""Fixtures of the tests that build."""

from tests.methods.conftest import cuda

__all__ = ["cuda"]

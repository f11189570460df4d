"""Fixtures of tests with a hub."""

from tests.support.hubprojects import family, hub

__all__ = ["family", "hub"]

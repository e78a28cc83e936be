"""Fixtures of these tests."""

from tests.support.outbox import simulated

__all__ = ["simulated"]

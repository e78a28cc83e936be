"""Fixtures of these tests."""

from tests.support.rest_fixtures import backend, server, video

__all__ = ["backend", "server", "video"]

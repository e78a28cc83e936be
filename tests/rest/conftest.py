"""Fixtures of these tests."""

from tests.support.rest_fixtures import backend, server, video
from tests.support.s3_fixtures import proxy, s3

__all__ = ["backend", "proxy", "s3", "server", "video"]

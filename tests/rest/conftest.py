"""Fixtures of these tests."""

from tests.support.rest_fixtures import backend, server, video
from tests.support.s3_fixtures import proxy, s3
from tests.support.studio import browser, studio_server, tab

__all__ = ["backend", "browser", "proxy", "s3", "server", "studio_server", "tab", "video"]

"""Fixtures of these tests."""

from tests.support.s3_fixtures import s3

__all__ = ["s3"]

"""What the tests of the S3 store share."""

from __future__ import annotations

import random
from collections.abc import Callable

from framepack.errors import FramepackError
from framepack.storage.keys import Key
from framepack.storage.s3.storage import S3Storage

OpenS3 = Callable[..., S3Storage]

MIB = 1 << 20
KEY = Key("postprocessed_output/saved_videos/clip 1+ü.mp4")
NAME = f"worker/one/{KEY}"
LARGE = random.Random(7).randbytes(12 * MIB)  # noqa: S311 - no secret


def assert_discreet(error: FramepackError, *secrets: str) -> None:
    """The client's sentence has no address, bucket or key in it."""
    assert error.message.endswith(".")
    for secret in ("127.0.0.1", "localhost", "http", "bucket-", "test-", "worker/one", "/", *secrets):
        assert secret not in error.message

"""Requests to an S3 store: each with a deadline, and repeated for a few seconds while the store does not answer.

boto3's own retries are off: their number follows from a budget that all requests of a client share, so that after an
outage single failures would no longer be repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from framepack.cancellation import current_check
from framepack.storage.patience import patiently
from framepack.storage.s3.client import S3Credentials, S3Tuning, connect, s3_errors

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from framepack.storage.s3.location import S3Location

T = TypeVar("T")


@dataclass(slots=True)
class S3Requests:
    """Sends requests about one bucket; threads may share it. The client is created on first use.

    Attributes:
        location: The bucket and its server.
        credentials: None lets boto3 search for them.
        tuning: Retries and timeouts.
    """

    location: S3Location
    credentials: S3Credentials | None
    tuning: S3Tuning
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _client: S3Client | None = None

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.location.bucket

    @property
    def client(self) -> S3Client:
        """The client of boto3."""
        with self._lock:
            if self._client is None:
                self._client = connect(self.location, self.credentials, self.tuning)
            return self._client

    def ask(self, action: str, request: Callable[[S3Client], T], *, size_bytes: int = 0) -> T:
        """Send a request, again while the store does not answer it.

        Args:
            action: The request in messages, such as "the upload".
            request: Sends it; must be harmless to repeat.
            size_bytes: Bytes of the object that it sends or receives.

        Raises:
            FramepackError: As `s3_errors`.
        """
        return patiently(
            lambda: self.ask_once(action, request, size_bytes=size_bytes),
            current_check(),
            patience=self.tuning.patience,
        )

    def ask_once(self, action: str, request: Callable[[S3Client], T], *, size_bytes: int = 0) -> T:
        """Send a request once; see `ask`."""
        from framepack.storage.s3.connections import deadline

        seconds = self.tuning.request_seconds + self._seconds(size_bytes)
        with s3_errors(action):
            client = self.client
            with deadline(seconds, current_check()):
                return request(client)

    def allow(self, size_bytes: int) -> None:
        """Allow the request that this thread is sending the time for a number of bytes more."""
        from framepack.storage.s3.connections import extend

        extend(self._seconds(size_bytes))

    def _seconds(self, size_bytes: int) -> float:
        return size_bytes / self.tuning.slowest_bytes_per_second

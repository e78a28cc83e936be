"""The file of one download: what has arrived is kept when the connection breaks, and the rest is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, Final

from framepack.errors import SourceFailed, TooLarge
from framepack.net.session import PassingFailure
from framepack.units import MB

if TYPE_CHECKING:
    from requests import Response

    from framepack.net.watchdog import Watchdog

_CHUNK_BYTES: Final = 64 * 1024
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_PLAIN: Final = frozenset({"", "identity", "aws-chunked"})  # the last tells how S3 received a file, not what it sends
_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d{1,20})-.*", re.ASCII | re.IGNORECASE)
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)
_CERTAIN_AGE: Final = timedelta(seconds=60)  # a younger file may have changed twice with one date


@dataclass(slots=True)
class Transfer:
    """A file that arrives in one or more attempts.

    Attributes:
        file: Where the bytes go.
        max_bytes: Maximum size of the file.
        size_bytes: Bytes that have arrived.
        version: Strong ETag or date of the version that they belong to; empty if the server has not told one, or
            cannot send parts of it.
    """

    file: BinaryIO
    max_bytes: int
    size_bytes: int = 0
    version: str = ""

    def request_headers(self) -> dict[str, str]:
        """The headers of the next attempt: they ask for the rest, provided that the file has not changed."""
        if not self.size_bytes or not self.version:
            return {}
        return {"Range": f"bytes={self.size_bytes}-", "If-Range": self.version}

    def receive(self, response: Response, watchdog: Watchdog) -> None:
        """Store the body of an answer to a request with ``request_headers``; the file is complete then.

        Raises:
            PassingFailure: The server failed, or sent nothing.
            SourceFailed: It answered with another status, in compressed form, or with an empty file.
            TooLarge: The file has more than ``max_bytes``.
            Exception: Errors of the connection, and of ``watchdog``, pass through.
        """
        self._check(response)
        declared_bytes = response.raw.length_remaining
        if declared_bytes is not None and self.size_bytes + declared_bytes > self.max_bytes:
            raise self._too_large()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            watchdog.received(len(chunk))
            watchdog.check()
            self.size_bytes += len(chunk)
            if self.size_bytes > self.max_bytes:
                raise self._too_large()
            self.file.write(chunk)
        watchdog.check()  # a connection that the watchdog cut looks like one that ended
        if not self.size_bytes:  # a connection that breaks after the headers looks like an end, too
            failure = SourceFailed if declared_bytes == 0 else PassingFailure
            raise failure("The source sent nothing.")

    def _check(self, response: Response) -> None:
        """Check status and headers; unless the answer is the rest of the file, the file begins anew."""
        status, asked_for_rest = response.status_code, "Range" in response.request.headers
        if asked_for_rest and status in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            if not self._is_rest(response):
                self._begin()
                raise PassingFailure("The source sent another part of the file than it was asked for.")
        elif status == HTTPStatus.OK:
            self._begin(_version(response.headers))
        else:
            sentence = f"The source answered with HTTP status {status} instead of 200."
            if status in _PASSING:
                raise PassingFailure(sentence, _retry_after_seconds(response.headers))
            raise SourceFailed(sentence)
        encodings = {each.strip().lower() for each in response.headers.get("Content-Encoding", "").split(",")}
        if encodings - _PLAIN:
            raise SourceFailed("The source answered in compressed form, although it was asked not to.")

    def _is_rest(self, response: Response) -> bool:
        part = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        same_version = response.headers.get("ETag", self.version) == self.version or not self.version.startswith('"')
        is_part = response.status_code == HTTPStatus.PARTIAL_CONTENT and part is not None
        return is_part and same_version and part is not None and int(part["first"]) == self.size_bytes

    def _begin(self, version: str = "") -> None:
        self.file.seek(0)
        self.file.truncate()
        self.size_bytes, self.version = 0, version

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The source is larger than the {self.max_bytes / MB:g} MB allowed.")


def _version(headers: Mapping[str, str]) -> str:
    """The strong ETag of a file, else its date if that is certain; empty if the server cannot send parts of it."""
    if headers.get("Accept-Ranges", "").strip().lower() != "bytes":
        return ""
    tag = headers.get("ETag", "").strip()
    if tag:
        return tag if _STRONG_ETAG.fullmatch(tag) else ""
    changed, sent = (_date(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    is_certain = changed is not None and sent is not None and sent - changed >= _CERTAIN_AGE
    return headers["Last-Modified"].strip() if is_certain else ""


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The pause that an answer asks for, as seconds or as a date; None without one."""
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _date(text)
    return None if until is None else max(0.0, (until - datetime.now(UTC)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)

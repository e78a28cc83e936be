"""Downloads from addresses that a client chose, limited in size and time; a failed one leaves no file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urljoin

from framepack.errors import DiskFull, SourceFailed, is_disk_full
from framepack.net.addresses import ParsedTarget, Policy, check_url
from framepack.net.session import ConnectionRefused, Outgoing, PassingFailure, exchange
from framepack.net.transfer import Transfer
from framepack.net.watchdog import Pace, Watchdog

if TYPE_CHECKING:
    from requests import Response

    from framepack.settings import Settings

logger = logging.getLogger("framepack.net")

MAX_REDIRECTS = 3
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the attempts of a download, unless the server asks for others."""
PACE = Pace(seconds=30, bytes_per_second=50_000)
"""How fast a source must arrive."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Downloader:
    """Downloads files.

    Attributes:
        policy: Which addresses may be reached.
        timeout_seconds: Time limit of one download, including redirects and further attempts.
        pauses: Seconds between attempts; there is one attempt more than pauses.
        pace: How fast a source must arrive.
        connect_pauses: Seconds between attempts while nothing listens at the address; None: those of ``pauses``.
    """

    policy: Policy
    timeout_seconds: float
    pauses: Sequence[float] = PAUSES
    pace: Pace = PACE
    connect_pauses: Sequence[float] | None = None

    @classmethod
    def from_settings(cls, settings: Settings, connect_pauses: Sequence[float] | None = None) -> Downloader:
        """Build a downloader of one worker."""
        policy, timeout_seconds = Policy.from_settings(settings), settings.download_timeout_seconds
        return cls(policy, timeout_seconds, connect_pauses=connect_pauses)

    def download(
        self,
        url: str,
        to: Path,
        *,
        max_bytes: int,
        check: Callable[[], None],
    ) -> str:
        """Fetch ``url`` into the file ``to``, following up to three redirects.

        If the server fails for a reason that may pass, the download is tried again, from where it stopped if the
        server can send the rest of the same file. Every attempt resolves and checks the host again.

        Args:
            url: An http or https address.
            to: The file to write; it does not exist after a failure.
            max_bytes: Maximum size.
            check: Raises to stop the download at once; called often, from two threads.

        Returns:
            The file name that the server or the URL gives, without folders; untrusted, may be empty.

        Raises:
            SourceNotAllowed: the URL, or one that it redirects to, is not allowed.
            SourceFailed: the server cannot be reached, answers with an error, or closes the connection early.
            SourceTooSlow: the file did not arrive in time, or too slowly.
            TooLarge: the file has more than ``max_bytes``.
            DiskFull: the disk is full.
            Cancelled: raised by ``check``.
        """
        with Watchdog(self.timeout_seconds, check, self.pace) as watchdog, _file(to) as file:
            transfer = Transfer(file, max_bytes)
            pauses = iter(self.pauses)
            connect_pauses = pauses if self.connect_pauses is None else iter(self.connect_pauses)
            while True:
                try:
                    return self._attempt(url, transfer, watchdog)
                except PassingFailure as failure:
                    is_unreached = isinstance(failure, ConnectionRefused) and not transfer.size_bytes
                    _wait(failure, next(connect_pauses if is_unreached else pauses, None), watchdog)

    def _attempt(self, url: str, transfer: Transfer, watchdog: Watchdog) -> str:
        with _final_answer(url, transfer.request_headers(), self.policy, watchdog) as (target, response):
            transfer.receive(response, watchdog)
            return _filename(target, response)


def _wait(failure: PassingFailure, pause: float | None, watchdog: Watchdog) -> None:
    """Wait before the next attempt, or raise the failure if there is none, or no time for it."""
    seconds = pause if failure.retry_after_seconds is None else failure.retry_after_seconds
    if pause is None or seconds is None or seconds >= watchdog.patience_seconds:
        raise SourceFailed(failure.message) from failure
    logger.info("A source failed and is tried again in %.1f seconds: %s", seconds, failure.message)
    watchdog.pause(seconds)


@contextmanager
def _final_answer(
    url: str, headers: Mapping[str, str], policy: Policy, watchdog: Watchdog
) -> Iterator[tuple[ParsedTarget, Response]]:
    """Follow redirects one by one, checking each URL like the first."""
    for _ in range(MAX_REDIRECTS + 1):
        target = check_url(url, policy)
        with exchange(Outgoing("GET", target, headers), policy, watchdog) as response:
            if response.status_code not in _REDIRECTS:
                yield target, response
                return
            url = _location(target, response)
    raise SourceFailed(f"The source redirected more than {MAX_REDIRECTS} times.")


def _location(target: ParsedTarget, response: Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise SourceFailed("The source redirected to nowhere.")
    try:
        return urljoin(target.url, _text(location).replace(" ", "%20"))
    except ValueError as error:
        raise SourceFailed("The source redirected to something that is not a URL.") from error


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing; it is removed if the block raises."""
    try:
        with path.open("wb") as file:
            yield file
    except BaseException as error:
        path.unlink(missing_ok=True)
        if is_disk_full(error):
            raise DiskFull("The worker's disk is full; the source could not be stored.") from error
        raise


def _filename(target: ParsedTarget, response: Response) -> str:
    header = Message()
    header["Content-Disposition"] = _text(response.headers.get("Content-Disposition", ""))
    name = header.get_filename() or unquote(target.path)
    return name.replace("\\", "/").rpartition("/")[2]


def _text(header: str) -> str:
    """Decode a header that was sent as UTF-8 but read as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header

"""Downloads from addresses that a client chose, limited in size and time; a failed one leaves no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urljoin

from framepack.errors import DiskFull, SourceFailed, TooLarge, is_disk_full
from framepack.net.addresses import ParsedTarget, Policy, check_url
from framepack.net.session import Outgoing, exchange
from framepack.net.watchdog import Watchdog

if TYPE_CHECKING:
    from requests import Response

    from framepack.settings import Settings

MAX_REDIRECTS = 3
_CHUNK_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Downloader:
    """Downloads files.

    Attributes:
        policy: Which addresses may be reached.
        timeout_seconds: Time limit of one download, including redirects.
    """

    policy: Policy
    timeout_seconds: float

    @classmethod
    def from_settings(cls, settings: Settings) -> Downloader:
        """Build the downloader of one worker."""
        return cls(Policy.from_settings(settings), settings.download_timeout_seconds)

    def download(
        self,
        url: str,
        to: Path,
        *,
        max_bytes: int,
        check: Callable[[], None],
    ) -> str:
        """Fetch ``url`` into the file ``to``, following up to three redirects.

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
            SourceTooSlow: the file did not arrive in time.
            TooLarge: the file has more than ``max_bytes``.
            DiskFull: the disk is full.
            Cancelled: raised by ``check``.
        """
        with (
            Watchdog(self.timeout_seconds, check) as watchdog,
            _final_answer(url, self.policy, watchdog) as (target, response),
        ):
            _check_answer(response, max_bytes)
            with _file(to) as file:
                _save(response, file, max_bytes, watchdog)
            return _filename(target, response)


@contextmanager
def _final_answer(url: str, policy: Policy, watchdog: Watchdog) -> Iterator[tuple[ParsedTarget, Response]]:
    """Follow redirects one by one, checking each URL like the first."""
    for _ in range(MAX_REDIRECTS + 1):
        target = check_url(url, policy)
        with exchange(Outgoing("GET", target), policy, watchdog) as response:
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


def _check_answer(response: Response, max_bytes: int) -> None:
    if response.status_code != HTTPStatus.OK:
        raise SourceFailed(f"The source answered with HTTP status {response.status_code} instead of 200.")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise SourceFailed("The source answered in compressed form, although it was asked not to.")
    declared_bytes = response.raw.length_remaining
    if declared_bytes is not None and declared_bytes > max_bytes:
        raise _too_large(max_bytes)


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


def _save(response: Response, file: BinaryIO, max_bytes: int, watchdog: Watchdog) -> None:
    size_bytes = 0
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        watchdog.check()
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise _too_large(max_bytes)
        file.write(chunk)
    watchdog.check()  # a connection that the watchdog cut looks like one that ended
    if not size_bytes:  # a connection that breaks after the headers looks like an end, too
        raise SourceFailed("The source sent nothing.")


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


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The source is larger than the {max_bytes / 1e6:g} MB allowed.")

"""Guarded HTTP: ``requests`` on connections that only reach addresses allowed by the policy."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import framepack
from framepack.errors import SourceFailed, SourceTooSlow
from framepack.net.addresses import ParsedTarget, Policy, lookup

if TYPE_CHECKING:
    from requests import Response
    from requests.adapters import HTTPAdapter

    from framepack.net.watchdog import Watchdog

logger = logging.getLogger("framepack.net")

CONNECT_SECONDS = 10.0
_OWN_HEADERS = {"User-Agent": f"framepack/{framepack.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


class PassingFailure(SourceFailed):
    """The server failed for a reason that may pass: the same request may succeed a moment later.

    Attributes:
        retry_after_seconds: The pause that the server asked for; None if it did not.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConnectionRefused(PassingFailure):
    """Nothing listens at the address."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to send, to a target that ``check_url`` returned."""

    method: Literal["GET", "POST"]
    target: ParsedTarget
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@contextmanager
def exchange(outgoing: Outgoing, policy: Policy, watchdog: Watchdog) -> Iterator[Response]:
    """Send a request and yield its answer, with the body not yet read.

    Redirects are not followed, proxies and credentials of the environment are not used, cookies are not kept, and
    nothing is decompressed.

    Raises:
        SourceNotAllowed: the host resolves to an address that is not allowed; nothing was sent.
        SourceFailed: the server cannot be reached, or its certificate is not valid.
        ConnectionRefused: nothing listens there.
        PassingFailure: the server closed the connection.
        SourceTooSlow: the time limit was reached.
    """
    from requests import Request

    request = Request(
        outgoing.method, outgoing.target.url, headers={**_OWN_HEADERS, **outgoing.headers}, data=outgoing.body
    ).prepare()
    with _network_errors(outgoing, watchdog), closing(_adapter(policy, watchdog)) as adapter:
        timeout = (min(CONNECT_SECONDS, watchdog.remaining_seconds), watchdog.remaining_seconds)
        with closing(adapter.send(request, stream=True, timeout=timeout)) as response:
            watchdog.check()
            yield response


def _adapter(policy: Policy, watchdog: Watchdog) -> HTTPAdapter:
    """Build an adapter that makes every connection, plain or TLS, with ``open_connection``."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class GuardedConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_connection(self._dns_host, self.port, policy, watchdog)

    class GuardedTlsConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_connection(self._dns_host, self.port, policy, watchdog)

    class GuardedPool(HTTPConnectionPool):
        ConnectionCls = GuardedConnection

    class GuardedTlsPool(HTTPSConnectionPool):
        ConnectionCls = GuardedTlsConnection

    adapter = HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": GuardedPool, "https": GuardedTlsPool}
    return adapter


def open_connection(host: str, port: int, policy: Policy, watchdog: Watchdog) -> socket.socket:
    """Resolve ``host`` once, and connect to one of the addresses that were checked.

    Raises:
        SourceNotAllowed: the host resolves to an address that is not allowed; nothing was sent.
        ConnectionRefused: nothing listens there.
        SourceFailed: the host cannot be resolved or reached.
        SourceTooSlow: the time limit was reached.
    """
    failure: type[SourceFailed] = SourceFailed
    cause: OSError | None = None
    for family, address in lookup(host, port, policy):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(CONNECT_SECONDS, watchdog.remaining_seconds))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            watchdog.watch(connection)
            connection.connect(address)
        except OSError as error:
            cause = error
            connection.close()
            watchdog.check()
            if isinstance(error, ConnectionRefusedError):
                failure = ConnectionRefused
            else:
                failure = PassingFailure if isinstance(error, ConnectionError) else SourceFailed
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure("The server of this URL could not be reached.") from cause


@contextmanager
def _network_errors(outgoing: Outgoing, watchdog: Watchdog) -> Iterator[None]:
    from requests.exceptions import RequestException, SSLError, Timeout
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import TimeoutError as ReadTimeout

    try:
        yield
    except (RequestException, HTTPError) as error:
        logger.info("%s to %s failed: %s", outgoing.method, outgoing.target.origin, type(error).__name__)
        watchdog.check()
        if isinstance(error, (Timeout, ReadTimeout)):
            raise SourceTooSlow("The server of this URL took too long to answer.") from error
        if isinstance(error, SSLError) and not _was_cut(error):
            raise SourceFailed("The server of this URL has no valid TLS certificate.") from error
        raise PassingFailure("The connection to the server of this URL broke.") from error


def _was_cut(error: BaseException | None) -> bool:
    """Whether an error of TLS stands for a connection that ended, and not for a certificate."""
    while error is not None:
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
            return True
        error = error.__cause__ or error.__context__
    return False

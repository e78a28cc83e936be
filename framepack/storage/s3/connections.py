"""The connections of an S3 client: each call has one deadline, and a client's store is reached only where it may be.

A socket's own timeout restarts with every byte. So a watchdog ends a call that takes too long or whose job was
cancelled, wherever it blocks.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from framepack.net.session import open_connection
from framepack.net.watchdog import Watchdog

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from framepack.net.addresses import Policy

_watchdog: ContextVar[Watchdog] = ContextVar("_watchdog")
_lent: ContextVar[set[Any]] = ContextVar("_lent")
"""The connections that this thread's call has from their pools."""


@contextmanager
def deadline(seconds: float, check: Callable[[], None]) -> Iterator[None]:
    """Limit the time of everything that this thread sends and receives in a ``with`` block.

    Args:
        seconds: The limit.
        check: Raises to stop at once.

    Raises:
        SourceTooSlow: The time is over.
        Exception: What ``check`` raises.
    """
    with Watchdog(seconds, check) as watchdog:
        token, lent = _watchdog.set(watchdog), _lent.set(set())
        try:
            yield
        except Exception:
            for connection in _lent.get():  # botocore leaves an answer open whose headers it cannot parse
                connection.close()
            watchdog.check()  # a connection that the watchdog cut looks like one that broke
            raise
        else:
            watchdog.check()  # or like one that ended
        finally:
            _watchdog.reset(token)
            _lent.reset(lent)


def extend(seconds: float) -> None:
    """Move the deadline of this thread."""
    _watchdog.get().extend(seconds)


def guard(client: S3Client, policy: Policy | None) -> None:
    """Make a client use watched connections, which only reach addresses that the policy allows."""
    from botocore.awsrequest import (
        AWSHTTPConnection,
        AWSHTTPConnectionPool,
        AWSHTTPSConnection,
        AWSHTTPSConnectionPool,
    )

    class Connection(AWSHTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, super()._new_conn, policy)

        def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
            _watch_again(self)
            return super().request(method, url, *arguments, **options)

    class TlsConnection(AWSHTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, super()._new_conn, policy)

        def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
            _watch_again(self)
            return super().request(method, url, *arguments, **options)

    class Pool(AWSHTTPConnectionPool):
        ConnectionCls = Connection

        def _put_conn(self, conn: Any) -> None:
            _returned(conn)
            super()._put_conn(conn)

    class TlsPool(AWSHTTPSConnectionPool):
        ConnectionCls = TlsConnection

        def _put_conn(self, conn: Any) -> None:
            _returned(conn)
            super()._put_conn(conn)

    # botocore has no public way to choose the connections of a client.
    session = client._endpoint.http_session  # type: ignore[attr-defined] # noqa: SLF001
    session._pool_classes_by_scheme = {"http": Pool, "https": TlsPool}  # noqa: SLF001 - of proxies
    session._manager.pool_classes_by_scheme = session._pool_classes_by_scheme  # noqa: SLF001


def _connected(connection: Any, connect: Callable[[], socket.socket], policy: Policy | None) -> socket.socket:
    """A new socket of a connection. Its timeout for sending is the time left: urllib3 sets that for connecting."""
    watchdog = _watchdog.get()
    if policy is not None:
        made = open_connection(connection._dns_host, connection.port, policy, watchdog)  # noqa: SLF001
    else:
        made = connect()
        try:
            watchdog.watch(made)
        except BaseException:
            made.close()
            raise
    made.settimeout(watchdog.remaining_seconds)
    return made


def _returned(connection: Any) -> None:
    """A connection goes back to its pool, perhaps after the call."""
    if (lent := _lent.get(None)) is not None:
        lent.discard(connection)


def _watch_again(connection: Any) -> None:
    """Watch a connection that is about to be used, and its socket if it has one already."""
    _lent.get().add(connection)
    if connection.sock is not None:
        watchdog = _watchdog.get()
        watchdog.watch(connection.sock)
        connection.timeout = watchdog.remaining_seconds

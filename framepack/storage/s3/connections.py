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
        token = _watchdog.set(watchdog)
        try:
            yield
        except Exception:
            watchdog.check()  # a connection that the watchdog cut looks like one that broke
            raise
        else:
            watchdog.check()  # or like one that ended
        finally:
            _watchdog.reset(token)


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

    class TlsPool(AWSHTTPSConnectionPool):
        ConnectionCls = TlsConnection

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


def _watch_again(connection: Any) -> None:
    """Watch the socket of a connection that is used again."""
    if connection.sock is not None:
        watchdog = _watchdog.get()
        watchdog.watch(connection.sock)
        connection.timeout = watchdog.remaining_seconds

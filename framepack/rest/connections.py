"""Connections of the HTTP server: how many there may be, and how long one may do nothing.

Nobody needs an API key to open a connection, so these limits protect the server from strangers.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from framepack.errors import BadRequest, FramepackError, TooLarge, Unavailable
from framepack.rest.auth import OPEN_PATHS
from framepack.rest.errors import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_MAX_CONNECTIONS: Final = 1000
_FILES_PER_CONNECTION: Final = 2  # its socket, and a body that arrives or a file that is sent
_OTHER_FILES: Final = 200
_RESERVED: Final = 24  # connections over the limit that may ask for the server's health


def max_connections() -> int:
    """Number of connections that the system's limit of open files allows, at most 1000."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(_RESERVED, min(_MAX_CONNECTIONS, (soft - _OTHER_FILES) // _FILES_PER_CONNECTION))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of one server, and which of its connections wait for a request.

    Attributes:
        max_connections: Maximum number of connections. Beyond it, the one that has waited longest for a request is
            closed. If all have requests, new requests get status 503, except those for the server's health.
        header_seconds: How long the headers of a request may take.
        max_header_bytes: Maximum size of the headers of a request. Headers that arrive at once may be larger.
        reader_seconds: How long the reader of a response may be slower than ``reader_bytes_per_second``.
        reader_bytes_per_second: Minimum speed of readers.
        refusal_seconds: How long to wait for a client to read why its connection is closed.
        waiting: The connections without a request, or with an incomplete one, the oldest first.
    """

    max_connections: int = field(default_factory=max_connections)
    header_seconds: float = 20.0
    max_header_bytes: int = 65_536
    reader_seconds: float = 30.0
    reader_bytes_per_second: float = 1000.0
    refusal_seconds: float = 2.0
    waiting: dict[LimitedConnection, None] = field(default_factory=dict)

    def protocol(self) -> Any:
        """The protocol class for the configuration of uvicorn."""
        return partial(LimitedConnection, self)


class LimitedConnection(HttpToolsProtocol):
    """A connection with deadlines for headers and for readers of responses."""

    def __init__(self, limits: ConnectionLimits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._complete_app: ASGIApp = self.app
        self._header_deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._reader_check: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Wait for the first request, if need be in the place of a connection that has waited longer."""
        super().connection_made(transport)
        waiting = self._limits.waiting
        if len(self.connections) > self._limits.max_connections:
            if waiting:
                next(iter(waiting)).give_way()
            elif len(self.connections) > self._limits.max_connections + _RESERVED:
                self._close()
                return
        waiting[self] = None
        self._start_header_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._limits.waiting.pop(self, None)
        self._stop_header_deadline()
        self._stop_reader_check()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the next bytes, unless the headers are too large."""
        if self._is_refused:
            return
        super().data_received(data)
        if self._header_deadline is not None and not self._is_refused:
            self._header_bytes += len(data)
            if self._header_bytes > self._limits.max_header_bytes:
                limit = self._limits.max_header_bytes // 1024
                self._refuse(TooLarge(f"The headers of a request must have at most {limit} KiB."))

    def on_message_begin(self) -> None:
        """Start the deadline of a further request."""
        super().on_message_begin()
        self._start_header_deadline()

    def on_headers_complete(self) -> None:
        """Pass the request on, or answer 503 if there are too many connections."""
        self._limits.waiting.pop(self, None)
        self._stop_header_deadline()
        is_over = len(self.connections) > self._limits.max_connections
        self.app = self._answer_over_limit if is_over else self._complete_app
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request. A client that is still sending its body does not get that far."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self.transport.close()
        if self.transport.get_write_buffer_size():
            self._start_reader_check()
        if not self.pipeline and not self.transport.is_closing():
            self._limits.waiting[self] = None

    def pause_writing(self) -> None:
        """Start to watch how fast the response is read."""
        super().pause_writing()
        self._start_reader_check()

    def resume_writing(self) -> None:
        """Stop to watch it: it is read."""
        super().resume_writing()
        self._stop_reader_check()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP."""
        self._refuse(BadRequest(msg))

    def give_way(self) -> None:
        """Close the connection, which has no request, for another one."""
        self._limits.waiting.pop(self, None)
        self.transport.close()

    async def _answer_over_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN_PATHS:
            await self._complete_app(scope, receive, send)
            return
        error = Unavailable("The server has too many connections; try again in a moment.")
        await error_response(error, {"Connection": "close"})(scope, receive, send)

    def _refuse(self, error: FramepackError) -> None:
        """Send an error and close the connection, once the client has had time to read it."""
        self._is_refused = True
        self._stop_header_deadline()
        response = error_response(error, {"Connection": "close"})
        lines = [f"HTTP/1.1 {response.status_code} Refused".encode()]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.loop.call_later(self._limits.refusal_seconds, self._close)

    def _close(self) -> None:
        self._limits.waiting.pop(self, None)
        self.transport.abort()

    def _start_header_deadline(self) -> None:
        if self._header_deadline is None:
            self._header_bytes = 0
            self._header_deadline = self.loop.call_later(self._limits.header_seconds, self._end_of_header_deadline)

    def _end_of_header_deadline(self) -> None:
        self._header_deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self._close()
        else:  # it follows a request that is not answered yet, so reading may be paused
            self._start_header_deadline()

    def _stop_header_deadline(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _start_reader_check(self) -> None:
        if self._reader_check is None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._reader_check = self.loop.call_later(self._limits.reader_seconds, self._check_reader)

    def _check_reader(self) -> None:
        """Close the connection if less was read than the minimum speed allows."""
        self._reader_check = None
        unread = self.transport.get_write_buffer_size()
        if unread == 0:
            return
        if self._unread_bytes - unread < self._limits.reader_seconds * self._limits.reader_bytes_per_second:
            self._close()
        else:
            self._start_reader_check()

    def _stop_reader_check(self) -> None:
        if self._reader_check is not None:
            self._reader_check.cancel()
            self._reader_check = None

"""A real HTTP server on loopback that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in; ``path`` is without the query, header names are case-insensitive."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer.

    A ``bytes`` body gets a Content-Length unless ``headers`` has one. Any other body is sent piece by piece, in
    chunks if ``headers`` asks for them, and ends with the connection. ``raw`` replaces the whole answer.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | Iterable[bytes] | None = None


Handler = Callable[[Received], Answer]


class HttpServer:
    """Context manager: serves on 127.0.0.1 and a free port, one thread per connection.

    Args:
        answers: Answers or functions by path (others get 404), or one function for all paths; may be set later.
        tls: Serves https with this context.
        port: The port to listen at; 0 takes any.

    Attributes:
        url: Address without a slash at the end.
        port: The port.
        requests: Everything asked for so far, in order.
        closing: Set when the server stops; bodies that wait should wait on it.
    """

    def __init__(
        self, answers: Mapping[str, Answer | Handler] | Handler, *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.requests: list[Received] = []
        self.closing = threading.Event()
        self.answers = answers
        self._server = _Server(self, tls, port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait until every connection is closed."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, received: Received) -> Answer:
        """Remember the request and find its answer."""
        self.requests.append(received)
        if callable(self.answers):
            return self.answers(received)
        answer = self.answers.get(received.path, Answer(404))
        return answer if isinstance(answer, Answer) else answer(received)


class _Server(ThreadingMixIn, HTTPServer):
    request_queue_size = 64

    def __init__(self, owner: HttpServer, tls: ssl.SSLContext | None, port: int) -> None:
        self.owner = owner
        self._tls = tls
        super().__init__(("127.0.0.1", port), _Connection)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: _Server

    def handle(self) -> None:
        with suppress(OSError):  # a client that leaves early is what some tests are about
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.do_handshake()
            self.handle_one_request()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep the test's output clean."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.owner.answer(Received(self.command, parts.path, parts.query, self.headers, body))
        if answer.raw is not None:
            self._send(_pieces(answer.raw), is_chunked=False)
            return
        headers = {"Connection": "close", **answer.headers}
        if isinstance(answer.body, bytes) and "Transfer-Encoding" not in headers:
            headers.setdefault("Content-Length", str(len(answer.body)))
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._send(_pieces(answer.body), is_chunked="Transfer-Encoding" in headers)

    def _send(self, pieces: Iterable[bytes], *, is_chunked: bool) -> None:
        if self.command == "HEAD":
            return
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked and piece else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class looks for these names


def _pieces(content: bytes | Iterable[bytes]) -> Iterable[bytes]:
    return [content] if isinstance(content, bytes) else content

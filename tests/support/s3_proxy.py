"""A proxy in front of an S3 server that passes everything on as it is, except where a test makes trouble."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "expect", "content-length"}


@dataclass
class Request:
    """What a client asked for; a test may change the body."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def starts_multipart(self) -> bool:
        """Whether a multipart upload begins."""
        return self.method == "POST" and "uploads" in self.query

    @property
    def is_part(self) -> bool:
        """Whether one part of an object arrives."""
        return self.method == "PUT" and "partNumber" in self.query

    @property
    def completes_multipart(self) -> bool:
        """Whether the parts are to be put together."""
        return self.method == "POST" and "uploadId" in self.query


@dataclass
class Answer:
    """What the server answered; a test may change it."""

    status: int
    headers: dict[str, str]
    body: bytes
    hang_up_after: int | None = None  # bytes of the body after which the connection breaks


@dataclass
class Proxy:
    """The proxy's address, the trouble it makes and what it saw.

    ``before`` runs before a request is passed on, ``after`` before its answer is; both hang up by returning True.
    ``before`` may also return an answer, which is then given in place of the server's.
    """

    endpoint_url: str
    before: Callable[[Request], bool | Answer | None] = lambda _request: None
    after: Callable[[Request, Answer], bool | None] = lambda _request, _answer: None
    seen: list[Request] = field(default_factory=list)


@contextlib.contextmanager
def s3_proxy(upstream_url: str) -> Iterator[Proxy]:
    """Run a proxy in front of the server while the block lasts."""
    upstream = urlsplit(upstream_url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            query = parse_qs(address.query, keep_blank_values=True)
            request = Request(self.command, address.path, query, dict(self.headers), body)
            proxy.seen.append(request)
            answer = proxy.before(request)
            if answer is True:
                self.close_connection = True
                return
            if not isinstance(answer, Answer):
                answer = _forward(upstream, self, request.body)
            if proxy.after(request, answer):
                self.close_connection = True
                return
            self._pass_on(answer)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - http.server looks for these

        def _pass_on(self, answer: Answer) -> None:
            self.send_response(answer.status)
            length = answer.headers.pop("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: answer.hang_up_after])
            self.close_connection = answer.hang_up_after is not None

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _forward(upstream: str, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
    connection = http.client.HTTPConnection(upstream, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in HOP_BY_HOP:
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        headers = {
            name: value
            for name, value in response.getheaders()
            if name.lower() not in HOP_BY_HOP or name == "Content-Length"
        }
        return Answer(response.status, headers, response.read())

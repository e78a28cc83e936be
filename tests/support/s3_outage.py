"""The ways in which an S3 store is away, for the proxy before a real one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.s3_proxy import Answer, Proxy, Request

PAGE = b"<html><head><title>Sign in</title></head><body><p>Welcome to the gateway.</p></body></html>"

Fault = Callable[[Request], bool | Answer | None]


def status(code: int, body: bytes = b"", content_type: str = "application/xml") -> Fault:
    """Answer every request with a status."""
    return lambda _request: Answer(code, {"Content-Type": content_type}, body)


def error(code: int, name: str) -> Fault:
    """Answer every request with an error of S3."""
    return status(code, f"<Error><Code>{name}</Code><Message>Away.</Message></Error>".encode())


def reset(_request: Request) -> bool:
    """Hang up without an answer."""
    return True


def lie(request: Request) -> Answer | None:
    """Accept what is written without storing it."""
    return Answer(200, {"Etag": '"lie"'}, b"") if request.method == "PUT" else None


FAULTS: dict[str, Fault] = {
    "503": error(503, "SlowDown"),
    "500": error(500, "InternalError"),
    "429": error(429, "TooManyRequests"),
    "502 without S3": status(502, b"bad gateway", "text/plain"),
    "reset": reset,
    "page 200": status(200, PAGE, "text/html"),
    "page 404": status(404, PAGE, "text/html; charset=utf-8"),
    "text 404": status(404, b"404 page not found", "text/plain; charset=utf-8"),
    "page 200, no type": status(200, PAGE, "application/xml"),
    "empty 200": status(200),
}


@dataclass
class Outage:
    """Makes the first requests fail.

    Attributes:
        fault: How they fail.
        requests: How many fail.
        seen: How many have failed.
    """

    fault: Fault
    requests: int
    seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> bool | Answer | None:
        """What becomes of a request; None: it is passed on."""
        with self._lock:
            if self.seen >= self.requests:
                return None
            self.seen += 1
        return self.fault(request)


@contextmanager
def stalled(proxy: Proxy, requests: int) -> Iterator[Outage]:
    """Let the first requests wait for an answer that never comes, until the ``with`` block ends."""
    over = threading.Event()

    def stall(_request: Request) -> bool:
        over.wait()
        return True

    outage = Outage(stall, requests)
    proxy.before = outage
    try:
        yield outage
    finally:
        over.set()

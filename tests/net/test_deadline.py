"""A download ends at its deadline or when its job is cancelled, whatever it is waiting for."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn

import pytest

from framepack.errors import Cancelled, SourceFailed, SourceTooSlow
from framepack.net.download import PACE, Downloader
from framepack.net.watchdog import Pace, Watchdog
from tests.support.canary import Canary
from tests.support.certificates import Authority
from tests.support.fetch import Fetch, at_loopback, drip, redirect, stall
from tests.support.http_server import Answer, HttpServer, Received

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize("body", [drip, stall])
@pytest.mark.parametrize("headers", [{}, CHUNKED, {"Content-Length": "1000"}], ids=["close", "chunked", "length"])
def test_a_slow_body_ends_at_the_deadline(
    fetch: Fetch, body: Callable[[HttpServer], Iterator[bytes]], headers: dict[str, str]
) -> None:
    """A source that drips or stalls is too slow, although each of its bytes came in time."""
    fetch.downloader = replace(fetch.downloader, timeout_seconds=0.4)
    with HttpServer({}) as server:
        server.answers = {"/": Answer(body=body(server), headers=headers)}
        fetch.fails(f"{server.url}/", SourceTooSlow, "within 0.4 seconds")


def test_slow_headers_end_at_the_deadline(fetch: Fetch) -> None:
    """A source that never answers, or drips its answer, in plain HTTP or in TLS, is too slow."""
    fetch.downloader = replace(fetch.downloader, timeout_seconds=0.4)
    with HttpServer({}) as server:
        server.answers = {"/": lambda _: Answer(raw=b"" if server.closing.wait(20) else b"never")}
        fetch.fails(f"{server.url}/", SourceTooSlow, "within 0.4 seconds")
        server.answers = {"/": Answer(raw=itertools.chain([b"HTTP/1.1 200 OK\r\nX: "], drip(server)))}
        fetch.fails(f"{server.url}/", SourceTooSlow, "within 0.4 seconds")
    with Canary() as silent:
        fetch.fails(f"https://127.0.0.1:{silent.port}/", SourceTooSlow, "within 0.4 seconds")


def test_a_stalled_tls_body_ends_at_the_deadline(fetch: Fetch, authority: Authority) -> None:
    """The deadline also reaches a connection that TLS has taken over."""
    fetch.downloader = Downloader(at_loopback("media.example"), 0.4)
    with HttpServer({}, tls=authority.server("media.example")) as server:
        server.answers = {"/": Answer(body=stall(server))}
        fetch.fails(f"https://media.example:{server.port}/", SourceTooSlow, "within 0.4 seconds")
    assert len(server.requests) == 1


def test_a_server_that_does_not_accept_ends_at_the_deadline(fetch: Fetch) -> None:
    """A connection that never comes about is too slow."""
    fetch.downloader = replace(fetch.downloader, timeout_seconds=0.4)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(3):  # more than the queue of one that listens with no backlog
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the standard library's signature
            waiting.connect_ex(full.getsockname())
        fetch.fails(f"http://127.0.0.1:{full.getsockname()[1]}/", SourceTooSlow, "within 0.4 seconds")


def test_slow_redirects_share_one_deadline(fetch: Fetch) -> None:
    """The time limit is for the whole download, not for each hop."""
    fetch.downloader = replace(fetch.downloader, timeout_seconds=0.5)

    def answer(received: Received) -> Answer:
        server.closing.wait(0.3)
        return redirect(f"{received.path}x")

    with HttpServer(answer) as server:
        fetch.fails(f"{server.url}/", SourceTooSlow, "within 0.5 seconds")


def test_cancelling_ends_a_stalled_download(fetch: Fetch) -> None:
    """A cancelled job does not wait for its source, and leaves no file."""
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled("The job was cancelled.")

    def body() -> Iterator[bytes]:
        yield b"x" * 100_000
        cancelled.set()
        ended_first.append("client" if server.closing.wait(10) else "server")

    ended_first: list[str] = []
    with HttpServer({"/": Answer(body=body())}) as server, pytest.raises(Cancelled):
        fetch(f"{server.url}/", check=check)
    assert ended_first == ["client"]
    assert list(fetch.to.parent.iterdir()) == []


def test_a_cancelled_job_sends_no_request(fetch: Fetch) -> None:
    """If the job is cancelled already, no connection is made."""

    def check() -> NoReturn:
        raise Cancelled("The job was cancelled.")

    with Canary() as canary:
        with pytest.raises(Cancelled):
            fetch(f"http://127.0.0.1:{canary.port}/", check=check)
        assert canary.connections == 0


def test_the_watchdog_thread_ends(fetch: Fetch) -> None:
    """Neither success nor failure leaves a thread of ours behind."""
    before = threading.active_count()
    with HttpServer({"/": Answer(body=BODY)}) as server:
        fetch(f"{server.url}/")
        with pytest.raises(SourceFailed):
            fetch(f"{server.url}/missing")
    assert threading.active_count() == before


@pytest.mark.parametrize("start", [b"", bytes(50_000)], ids=["from the start", "after a fast start"])
def test_a_body_that_drips_is_too_slow_long_before_the_deadline(fetch: Fetch, start: bytes) -> None:
    """Each second of it must bring enough, so a source holds a job for two of these seconds at most."""
    fetch.downloader = replace(fetch.downloader, timeout_seconds=600, pace=Pace(1, 20_000))
    with HttpServer({}) as server:
        server.answers = {"/": Answer(body=itertools.chain([start], drip(server)))}
        fetch.fails(f"{server.url}/", SourceTooSlow, "kB in 1 seconds; it must send at least 20 kB per second.")


def test_a_body_at_its_pace_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has arrived is measured anew after each 30 seconds; a byte less is too slow."""
    now = [0.0]
    monkeypatch.setattr("framepack.net.watchdog.time.monotonic", lambda: now[0])
    watchdog = Watchdog(3600, lambda: None, PACE)
    for second in range(30, 3000, 30):
        now[0] = second - 0.1
        watchdog.check()
        watchdog.received(1_500_000)
        now[0] = second
        watchdog.check()
    watchdog.received(1_499_999)
    now[0] += 30

    with pytest.raises(SourceTooSlow, match="at least 50 kB per second"):
        watchdog.check()


def test_a_source_that_asks_for_a_pause_longer_than_its_pace_fails_at_once(fetch: Fetch) -> None:
    """Waiting for it would hold the job just as well."""
    with HttpServer({"/": Answer(status=503, headers={"Retry-After": "31"})}) as server:
        fetch.fails(f"{server.url}/", SourceFailed, "HTTP status 503")
        assert len(server.requests) == 1

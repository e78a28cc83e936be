"""Limits of connections: headers, idle connections, readers, their number, and refused bodies."""

from __future__ import annotations

import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from framepack.rest import draining
from framepack.rest.connections import ConnectionLimits, max_connections
from tests.support.rest_server import KEY, Client, HeldBackend, LocalServer, RestServer, eventually, server_in_thread

LOOP = "/postprocess/loop"
MEGABYTE = 1_000_000


def connect(client: Client, start: bytes = b"", *, receive_bytes: int | None = None) -> socket.socket:
    """A connection that sends the start of a request."""
    address = urlsplit(client.url)
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(60)
    connection.connect((address.hostname, address.port))
    connection.sendall(start)
    return connection


def until_closed(connection: socket.socket) -> bytes:
    """Everything that arrives until the server closes the connection, which is closed here, too."""
    found = b""
    with connection, suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            found += chunk
    return found


def sends(connection: socket.socket, piece: bytes, count: int, pause_seconds: float = 0) -> int:
    """How often a piece can be sent before the server closes the connection."""
    for number in range(count):
        try:
            connection.sendall(piece)
        except OSError:  # a reset or a broken pipe
            return number
        time.sleep(pause_seconds)
    return count


def request(method: str, path: str, *headers: str) -> bytes:
    """The headers of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"X-API-Key: {KEY}", *headers, "", ""]).encode()


@contextmanager
def serving(folder: Path, limits: ConnectionLimits) -> Iterator[LocalServer]:
    """A server with these limits."""
    with server_in_thread(folder, HeldBackend(), limits=limits) as server:
        yield server


@pytest.mark.parametrize("start", [b"", b"GET /ping HTTP/1.1\r\nX-Slow: "])
def test_a_connection_without_complete_headers_is_closed_after_the_deadline(tmp_path: Path, start: bytes) -> None:
    """A connection that never finishes its headers, or never starts, is closed."""
    with serving(tmp_path, ConnectionLimits(header_seconds=0.3)) as server:
        assert until_closed(connect(server, start)) == b""


def test_further_header_bytes_do_not_extend_the_deadline(tmp_path: Path) -> None:
    """Each further byte is no reason to wait again."""
    limits = ConnectionLimits(header_seconds=1)
    with serving(tmp_path, limits) as server, connect(server, b"GET /ping HTTP/1.1\r\nX-Slow: ") as connection:
        assert sends(connection, b"x", 600, pause_seconds=0.05) < 600


def test_the_second_request_of_a_connection_has_a_deadline(tmp_path: Path) -> None:
    """The first request is answered, and the half of a second one is not waited for."""
    with serving(tmp_path, ConnectionLimits(header_seconds=0.5)) as server:
        connection = connect(server, request("GET", "/ping"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /ping HTTP/1.1\r\nX-Slow: ")
        assert until_closed(connection) == b""


def test_an_incomplete_second_request_does_not_end_the_first(tmp_path: Path) -> None:
    """The half of a second request behind a job that takes longer than the deadline does not end the job's answer."""
    backend = HeldBackend()
    with server_in_thread(tmp_path, backend, limits=ConnectionLimits(header_seconds=0.2)) as server:
        body = b'{"video_base64": "AAAA"}'
        head = request("POST", LOOP, "Content-Type: application/json", f"Content-Length: {len(body)}")
        connection = connect(server, head + body + b"GET /ping HTTP/1.1\r\nX-Slow: ")
        assert eventually(lambda: backend.held)
        time.sleep(0.6)  # three deadlines
        next(iter(backend.held.values())).finish()
        assert b'"success":true' in until_closed(connection)


@pytest.mark.parametrize(
    "start",
    [b"GET /ping HTTP/1.1\r\nX-Large: " + b"x" * 300_000, b"GET /" + b"x" * 300_000],
    ids=["header", "path"],
)
def test_headers_over_the_limit_are_answered_413(tmp_path: Path, start: bytes) -> None:
    """A header without an end is answered in a sentence, and closed."""
    with serving(tmp_path, ConnectionLimits(refusal_seconds=0.1)) as server:
        answer = until_closed(connect(server, start))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"detail":"The headers of a request must have at most 64 KiB.","code":"too_large"}')


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        request("POST", LOOP, "Content-Length: 2", "Content-Length: 3") + b"{}",
        request("POST", LOOP, "Content-Length: 2", "Transfer-Encoding: chunked") + b"{}",
        request("POST", LOOP, "Transfer-Encoding: chunked") + b"zz\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["no HTTP", "two lengths", "length and chunks", "no chunk size", "TLS"],
)
def test_invalid_http_is_answered_400(tmp_path: Path, sent: bytes) -> None:
    """One clear answer in the documented form, then the connection is closed."""
    with serving(tmp_path, ConnectionLimits(refusal_seconds=0.1)) as server:
        answer = until_closed(connect(server, sent))
        assert server.get("/jobs").status_code == 200

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"}' in answer


def test_connections_over_the_limit_replace_the_oldest_without_a_request(tmp_path: Path) -> None:
    """Beyond the limit, whoever has waited longest without a request is closed; requests are answered."""
    with serving(tmp_path, ConnectionLimits(max_connections=20)) as server, ExitStack() as open_ones:
        half = [connect(server, b"GET /") for _ in range(60)]
        for each in half:
            open_ones.callback(each.close)
        for _ in range(30):
            assert server.get("/jobs").status_code == 200
        for each in half[:40]:
            assert until_closed(each) == b""


def test_idle_connections_are_replaced_at_the_limit(tmp_path: Path) -> None:
    """A connection that is kept for further requests is closed when another one needs the place."""
    with serving(tmp_path, ConnectionLimits(max_connections=3)) as server:
        idle = connect(server, request("GET", "/ping"))
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        with connect(server, b"G"), connect(server, b"G"), connect(server, b"G"):
            assert until_closed(idle) == b""


def test_requests_over_the_limit_get_503_except_health_checks(tmp_path: Path) -> None:
    """If every connection has a request, further ones get 503, at once; health checks still get their answer."""
    with serving(tmp_path, ConnectionLimits(max_connections=5)) as server, ExitStack() as open_ones:
        head = request("POST", LOOP, "Content-Length: 100", "Expect: 100-continue")
        busy = [open_ones.enter_context(connect(server, head)) for _ in range(5)]
        assert all(each.recv(1000).startswith(b"HTTP/1.1 100 ") for each in busy), "their bodies are waited for"
        refused = server.get("/jobs")
        assert refused.status_code == 503
        assert (refused.json()["code"], refused.headers["connection"]) == ("unavailable", "close")
        assert int(refused.headers["retry-after"]) > 0
        assert server.get("/ping").status_code == server.get("/health").status_code == 200
        busy[0].close()
        assert eventually(lambda: server.get("/jobs").status_code == 200)


def test_connections_far_over_the_limit_are_closed(tmp_path: Path) -> None:
    """Nothing can make the server run out of files."""
    with serving(tmp_path, ConnectionLimits(max_connections=5)) as server, ExitStack() as open_ones:
        head = request("POST", LOOP, "Content-Type: application/json", "Content-Length: 100")
        before = psutil.Process().num_fds()
        for _ in range(100):
            open_ones.enter_context(connect(server, head + b"{"))
        assert eventually(lambda: server.get("/ping").status_code == 200)
        assert psutil.Process().num_fds() - before <= 100 + 5 + 24 + 5


@pytest.mark.parametrize(
    ("soft", "expected"), [(1024, 412), (1_048_576, 1000), (resource.RLIM_INFINITY, 1000), (256, 28), (64, 24)]
)
def test_max_connections_follows_from_the_limit_of_open_files(
    soft: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files per connection must be possible."""
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (soft, soft))
    assert max_connections() == expected


def test_a_response_that_is_not_read_is_ended(tmp_path: Path) -> None:
    """A file that nobody reads is not held; one that is read slowly is sent whole."""
    limits = ConnectionLimits(reader_seconds=0.5, reader_bytes_per_second=10_000)
    with serving(tmp_path, limits) as server:
        path = tmp_path / "outputs/postprocessed_output/temp_processing/large.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 30 * MEGABYTE)
        ask = request("GET", "/outputs/postprocessed_output/temp_processing/large.bin", "Connection: close")
        with connect(server, ask, receive_bytes=10_000), connect(server, ask, receive_bytes=10_000) as slow:
            received = 0
            while chunk := slow.recv(1_000_000):
                received += len(chunk)
            assert received > 30 * MEGABYTE
            process = psutil.Process()
            assert eventually(lambda: not [each for each in process.open_files() if each.path == str(path)])


@pytest.mark.parametrize("path", [LOOP, "/uploads", "/no/such/route"])
def test_urllib_sees_the_refusal_of_a_large_body(tmp_path: Path, path: str) -> None:
    """Python's urllib gets the refusal of a body of 70 MB, with and without a right key, not a reset."""
    with server_in_thread(tmp_path, HeldBackend(), max_source_mb=10) as server:
        for key, status in ((KEY, 404 if path.startswith("/no") else 413), ("wrong", 401)):
            headers = {"X-API-Key": key, "Content-Type": "multipart/form-data; boundary=x"}
            if path == LOOP:
                headers["Content-Type"] = "application/json"
            asked = urllib.request.Request(server.url + path, b" " * 70 * MEGABYTE, headers)  # noqa: S310 - http
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(asked, timeout=60)  # noqa: S310
            assert caught.value.code == status
            caught.value.close()


def test_a_refused_body_is_drained_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the refusal, neither a stalled body nor an endless one keeps the connection."""
    monkeypatch.setattr(draining, "_MAX_SECONDS", 0.3)
    monkeypatch.setattr(draining, "_MAX_BYTES", 5 * MEGABYTE)
    head = request("POST", "/no/such/route", "Transfer-Encoding: chunked")
    with serving(tmp_path, ConnectionLimits()) as server:
        stalled = connect(server, head + b"5\r\nhello\r\n")
        answer = until_closed(stalled)
        assert answer.startswith(b"HTTP/1.1 404 ")
        endless, chunk = connect(server, head), b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        with endless:
            assert sends(endless, chunk, 2000) < 2000


def test_a_connection_is_reused_after_a_refused_body(tmp_path: Path) -> None:
    """The next request goes over the same connection."""
    with serving(tmp_path, ConnectionLimits()) as server, requests.Session() as session:
        session.headers["X-API-Key"] = KEY
        for _ in range(3):
            assert session.post(f"{server.url}/no/such/route", data=b"x" * 3 * MEGABYTE).status_code == 404
        pools = session.get_adapter(server.url).poolmanager.pools  # type: ignore[attr-defined]
        assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - no dictionary


@pytest.mark.slow
def test_1500_half_open_connections_do_not_exhaust_the_server(tmp_path: Path) -> None:
    """Fewer files than connections are open, everybody is answered meanwhile, and later nothing is left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with RestServer(tmp_path) as server, ExitStack() as open_ones:
            process = psutil.Process(server.pid)
            before = process.num_fds()
            answered: list[int] = []
            stop = threading.Event()

            def ask() -> None:
                while not stop.wait(0.02):
                    answered.extend(server.get(path).status_code for path in ("/ping", "/jobs"))

            asking = threading.Thread(target=ask)
            asking.start()
            for _ in range(1500):
                open_ones.callback(connect(server, b"GET /jobs HTTP/1.1\r\nX-Slow: ").close)
            most = process.num_fds()
            assert eventually(lambda: process.num_fds() <= before + 5, seconds=120)
            stop.set()
            asking.join()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert most <= before + 1000 + 24 + 5
    assert set(answered) == {200}

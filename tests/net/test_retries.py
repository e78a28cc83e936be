"""A download outlives what passes: a server that is busy, a connection that breaks, a body that ends early."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from pathlib import Path

import pytest

from framepack.errors import Cancelled, SourceFailed, SourceNotAllowed, TooLarge
from framepack.net.addresses import Policy
from framepack.net.download import PAUSES, Downloader
from tests.support.canary import Canary, Names
from tests.support.fetch import Fetch
from tests.support.http_server import Answer, Handler, HttpServer, Received

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes
CUT = len(BODY) * 9 // 10
TAG = {"ETag": '"version-1"', "Accept-Ranges": "bytes"}
NO_LIMIT = 10 * len(BODY)


def one_after_another(*answers: Answer) -> Handler:
    """Answers that come one after another; the last one again and again."""
    numbers = count()
    return lambda _: answers[min(next(numbers), len(answers) - 1)]


def cut(headers: dict[str, str] | None = None) -> Answer:
    """The first 90 % of the file."""
    return Answer(body=[BODY[:CUT]], headers={**(headers or {}), "Content-Length": str(len(BODY))})


def with_parts(headers: dict[str, str], *, cut_at: int) -> Handler:
    """A server that breaks every first answer off, and sends the rest to a client that asks for it."""

    def answer(received: Received) -> Answer:
        asked = received.headers.get("Range")
        if asked is None:
            return Answer(body=[BODY[:cut_at]], headers={**headers, "Content-Length": str(len(BODY))})
        version = headers.get("ETag", headers.get("Last-Modified", ""))
        assert received.headers["If-Range"] == version
        begin = int(asked.removeprefix("bytes=").removesuffix("-"))
        part = {"Content-Range": f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}"}
        return Answer(206, BODY[begin:], {**headers, **part})

    return answer


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_passes_is_tried_again(fetch: Fetch, status: int) -> None:
    """A busy or failing server is asked again, and the file arrives."""
    with HttpServer(one_after_another(Answer(status, b"SlowDown"), Answer(body=BODY))) as server:
        fetch(f"{server.url}/clip.mp4?signature=1")
        assert fetch.to.read_bytes() == BODY
        assert [request.query for request in server.requests] == ["signature=1"] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 416, 451, 304, 206, 204, 501, 505])
def test_any_other_status_is_final(fetch: Fetch, status: int) -> None:
    """What another request cannot change is asked once."""
    with HttpServer(one_after_another(Answer(status, b"" if status in {204, 304} else b"no"))) as server:
        fetch.fails(f"{server.url}/", SourceFailed, f"status {status}")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "broken",
    [
        cut(),
        Answer(raw=b""),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort"),
        Answer(body=[]),
    ],
    ids=["cut", "closed", "cut headers", "cut chunk", "empty until closed"],
)
def test_a_broken_connection_is_tried_again(fetch: Fetch, broken: Answer) -> None:
    """A connection that ends early, or a body that is too short, is replaced by a whole one."""
    with HttpServer(one_after_another(broken, broken, Answer(body=BODY))) as server:
        fetch(f"{server.url}/")
        assert fetch.to.read_bytes() == BODY
        assert len(server.requests) == 3
        assert all("Range" not in request.headers for request in server.requests)


def test_a_refused_connection_is_tried_again(fetch: Fetch) -> None:
    """A server that refuses a connection may be restarting."""
    names = Names({"media.example": [["127.0.0.2"], ["127.0.0.1"]]})  # nobody listens at the first
    fetch.downloader = replace(fetch.downloader, policy=Policy(allowed_hosts=("127.0.0.0/8",), resolve=names))
    with HttpServer({"/": Answer(body=BODY)}) as server:
        fetch(f"http://media.example:{server.port}/")
    assert fetch.to.read_bytes() == BODY
    assert len(names.asked) == 2


def test_a_host_where_nothing_listens_may_have_fewer_tries(fetch: Fetch) -> None:
    """A downloader may give up sooner on an address that it has never reached, not on one that breaks off."""
    names = Names({"media.example": [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"], ["127.0.0.1"]]})
    policy = Policy(allowed_hosts=("127.0.0.0/8",), resolve=names)
    fetch.downloader = replace(fetch.downloader, policy=policy, connect_pauses=(0.01,))
    with HttpServer(with_parts(TAG, cut_at=CUT)) as server:
        fetch(f"http://media.example:{server.port}/")
        assert fetch.to.read_bytes() == BODY
        assert len(names.asked) == 4
    fetch.to.unlink()

    fetch.fails(f"http://media.example:{server.port}/", SourceFailed, "could not be reached")
    assert len(names.asked) == 6


def test_tries_are_bounded(fetch: Fetch) -> None:
    """After one attempt more than there are pauses the last failure is the answer, and nothing is left behind."""
    with HttpServer(one_after_another(Answer(503))) as server:
        fetch.fails(f"{server.url}/", SourceFailed, "status 503")
        assert len(server.requests) == 5
    assert len(PAUSES) == 4
    assert list(PAUSES) == sorted(PAUSES)


def test_a_failure_that_passes_may_turn_into_a_final_one(fetch: Fetch) -> None:
    """A 404 after a 503 is the answer."""
    with HttpServer(one_after_another(Answer(503), Answer(404))) as server:
        fetch.fails(f"{server.url}/", SourceFailed, "status 404")
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "headers",
    [
        TAG,
        {
            "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT",
            "Date": "Wed, 21 Oct 2015 07:30:00 GMT",
            "Accept-Ranges": "Bytes",
        },
    ],
    ids=["ETag", "Last-Modified"],
)
def test_only_the_rest_is_asked_for(fetch: Fetch, headers: dict[str, str]) -> None:
    """A cut at 90 % does not start anew where the server can send parts of the same version."""
    with HttpServer(with_parts(headers, cut_at=CUT)) as server:
        fetch(f"{server.url}/clip.mp4")
        assert fetch.to.read_bytes() == BODY
        assert [request.headers.get("Range") for request in server.requests] == [None, f"bytes={CUT}-"]


def test_several_cuts_are_joined(fetch: Fetch) -> None:
    """Every attempt goes on where the one before stopped."""

    def answer(received: Received) -> Answer:
        begin = int(received.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        end = min(begin + 300_000, len(BODY))
        headers = {**TAG, "Content-Length": str(len(BODY) - begin)}
        if not begin:
            return Answer(200, [BODY[:end]], headers)
        return Answer(206, [BODY[begin:end]], {**headers, "Content-Range": f"bytes {begin}-{len(BODY) - 1}/*"})

    with HttpServer(answer) as server:
        fetch(f"{server.url}/")
        assert fetch.to.read_bytes() == BODY
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": 'W/"weak"', "Accept-Ranges": "bytes"},
        {"ETag": '"strong"'},
        {"ETag": '"strong"', "Accept-Ranges": "none"},
        {"ETag": "unquoted", "Accept-Ranges": "bytes"},
        {
            "Last-Modified": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True),
            "Accept-Ranges": "bytes",
        },
        {"Last-Modified": "yesterday", "Accept-Ranges": "bytes"},
    ],
    ids=["weak", "no ranges", "none", "unquoted", "young date", "no date"],
)
def test_without_a_certain_version_it_starts_anew(fetch: Fetch, headers: dict[str, str]) -> None:
    """Parts of what may be two versions are never joined: the whole file is asked for again."""
    with HttpServer(one_after_another(cut(headers), Answer(body=BODY, headers=headers))) as server:
        fetch(f"{server.url}/")
        assert fetch.to.read_bytes() == BODY
        assert "Range" not in server.requests[1].headers


@pytest.mark.parametrize(
    "second",
    [
        Answer(200, BODY[::-1], {"ETag": '"version-2"', "Accept-Ranges": "bytes"}),
        Answer(206, BODY[:10], {"Content-Range": f"bytes 0-9/{len(BODY)}", **TAG}),
        Answer(206, BODY[CUT:], {"Content-Range": f"bytes {CUT}-{len(BODY) - 1}/*", "ETag": '"version-2"'}),
        Answer(206, BODY[CUT:], {}),
        Answer(416, b"", {"Content-Range": "bytes */10"}),
    ],
    ids=["changed", "other part", "part of another version", "unnamed part", "not satisfiable"],
)
def test_a_file_that_changed_meanwhile_is_never_mixed(fetch: Fetch, second: Answer) -> None:
    """Whatever comes instead of the rest, the file is one version, from its beginning."""
    with HttpServer(one_after_another(cut(TAG), second, Answer(body=BODY[::-1]))) as server:
        fetch(f"{server.url}/")
        assert fetch.to.read_bytes() == BODY[::-1]


def test_the_limit_holds_for_all_attempts_together(fetch: Fetch) -> None:
    """The rest counts with what has arrived already."""
    with HttpServer(with_parts(TAG, cut_at=CUT)) as server, pytest.raises(TooLarge):
        fetch(f"{server.url}/", max_bytes=len(BODY) - 1)
    head = b'HTTP/1.1 200 OK\r\nETag: "version-1"\r\nAccept-Ranges: bytes\r\nTransfer-Encoding: chunked\r\n\r\n'
    begun = Answer(raw=head + b"%x\r\n" % (CUT + 1) + BODY[:CUT])
    rest = Answer(206, [BODY[CUT:]], {**TAG, "Content-Range": f"bytes {CUT}-{len(BODY) - 1}/*"})
    with HttpServer(one_after_another(begun, rest)) as server:
        with pytest.raises(TooLarge):
            fetch(f"{server.url}/", max_bytes=CUT + 5)
        assert len(server.requests) == 2
    assert not fetch.to.exists()


def test_the_servers_pause_is_kept(fetch: Fetch) -> None:
    """``Retry-After`` in seconds or as a date replaces the own pause."""
    soon = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    for wanted, least in (("1", 1.0), (soon, 0.0), ("soon", 0.0)):
        busy = Answer(503, headers={"Retry-After": wanted})
        with HttpServer(one_after_another(busy, Answer(body=b"x"))) as server:
            begin = time.monotonic()
            fetch(f"{server.url}/")
            assert time.monotonic() - begin >= least
            assert len(server.requests) == 2


def test_a_pause_beyond_the_deadline_is_not_waited_for(fetch: Fetch) -> None:
    """A server that asks for an hour is a failed source at once."""
    with HttpServer(one_after_another(Answer(503, headers={"Retry-After": "3600"}))) as server:
        fetch.fails(f"{server.url}/", SourceFailed, "status 503")
        assert len(server.requests) == 1


def test_a_cancelled_job_does_not_wait_for_the_next_attempt(fetch: Fetch) -> None:
    """Cancelling works during a pause."""
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled("cancelled")

    def busy(_: Received) -> Answer:
        threading.Timer(0.2, cancelled.set).start()
        return Answer(503, headers={"Retry-After": "15"})

    with HttpServer(busy) as server:
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            fetch(f"{server.url}/", check=check)
        assert time.monotonic() - begin < 10
    assert not fetch.to.exists()


def test_every_attempt_judges_the_address_again(tmp_path: Path) -> None:
    """A host that becomes private between two attempts is not connected to."""
    with Canary() as canary, HttpServer(one_after_another(cut(TAG))) as server:
        names = Names({"rebind.example": [["127.0.0.1"], ["127.0.0.2"]]})
        policy = Policy(allowed_hosts=("127.0.0.1/32",), resolve=names)
        downloader = Downloader(policy, 20, pauses=(0.01,) * 4)
        with pytest.raises(SourceNotAllowed):
            downloader.download(
                f"http://rebind.example:{server.port}/", tmp_path / "file", max_bytes=NO_LIMIT, check=lambda: None
            )
        assert (len(server.requests), len(names.asked), canary.connections) == (1, 2, 0)
    assert not (tmp_path / "file").exists()


def test_a_redirect_is_followed_again(fetch: Fetch) -> None:
    """An attempt begins at the address that the client gave: a signed redirect may have expired."""

    def signed() -> Iterator[Answer]:
        yield Answer(302, headers={"Location": "/signed?n=1"})
        yield Answer(503)
        yield Answer(302, headers={"Location": "/signed?n=2"})
        yield Answer(body=BODY)

    answers = signed()
    with HttpServer(lambda _: next(answers)) as server:
        fetch(f"{server.url}/clip")
        assert [(request.path, request.query) for request in server.requests] == [
            ("/clip", ""),
            ("/signed", "n=1"),
            ("/clip", ""),
            ("/signed", "n=2"),
        ]


def test_the_log_has_no_query(fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    """A line says that a source is tried again, without its signature."""
    answers = one_after_another(Answer(503), cut(), Answer(body=b"x"))
    with caplog.at_level(logging.DEBUG, logger="framepack"), HttpServer(answers) as server:
        fetch(f"{server.url}/clip.mp4?signature=s3cret")
    assert "tried again" in caplog.text
    assert "s3cret" not in caplog.text

"""Downloads arrive whole, or leave nothing behind."""

from __future__ import annotations

import errno
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack import __version__
from framepack.errors import DiskFull, SourceFailed, TooLarge
from framepack.net import download
from framepack.net.addresses import Policy, check_url
from framepack.net.download import Downloader
from framepack.net.transfer import Transfer
from framepack.settings import Settings
from tests.support.fetch import Fetch, endless
from tests.support.http_server import Answer, HttpServer

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=BODY, headers={"Content-Type": "Video/MP4; codecs=avc1"}),
        Answer(body=[BODY[:1], BODY[1:70_000], BODY[70_000:]], headers={**CHUNKED, "Content-Type": "video/mp4"}),
        Answer(body=[BODY], headers={"Content-Type": "video/mp4"}),
        Answer(body=BODY, headers={"Content-Type": "video/mp4", "Content-Encoding": "identity"}),
        Answer(body=BODY, headers={"Content-Encoding": "aws-chunked"}),
        Answer(body=[BODY], headers={"Content-Encoding": "AWS-Chunked, identity", **CHUNKED}),
        Answer(body=BODY, headers={"Content-Encoding": "aws-chunked,"}),
        Answer(body=BODY, headers={"Content-Encoding": ""}),
        Answer(body=[BODY], headers={"Content-Type": "video/mp4", "Content-Length": "-5"}),
    ],
    ids=[
        "length",
        "chunked",
        "until closed",
        "identity",
        "aws",
        "aws, identity",
        "comma",
        "empty",
        "negative length",
    ],
)
def test_a_file_arrives_whole(fetch: Fetch, answer: Answer) -> None:
    """The file equals what was served, however its end is marked, and its name is returned."""
    with HttpServer({"/clips/my clip.mp4".replace(" ", "%20"): answer}) as server:
        filename = fetch(f"{server.url}/clips/my%20clip.mp4?token=1#t=5")
    assert fetch.to.read_bytes() == BODY
    assert filename == "my clip.mp4"


def test_the_request_has_no_needless_headers(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query is sent, compression is declined, and no credential, cookie or referrer goes along."""
    with HttpServer(
        {"/a": Answer(302, headers={"Location": "/b", "Set-Cookie": "x=1"}), "/b": Answer(body=b"x")}
    ) as server:
        fetch(f"{server.url}/a?x=%C3%A4")
    first, second = server.requests
    assert (first.method, first.query) == ("GET", "x=%C3%A4")
    for request in (first, second):
        assert {name.lower() for name in request.headers} == {"host", "user-agent", "accept", "accept-encoding"}
        assert request.headers["User-Agent"] == f"framepack/{__version__}"
        assert request.headers["Accept-Encoding"] == "identity"
        assert request.headers["Host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="holiday.mp4"', "holiday.mp4"),
        ("attachment; filename=holiday.mp4", "holiday.mp4"),
        ("attachment; filename*=UTF-8''%C3%BCber%20uns.mp4", "über uns.mp4"),
        ('attachment; filename="über.mp4"'.encode().decode("latin-1"), "über.mp4"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.mp4"', "y.mp4"),
        ('attachment; filename="/"', ""),
        ("attachment", "clip.mp4"),
        ("inline; filename=", "clip.mp4"),
    ],
)
def test_the_name_comes_without_folders(fetch: Fetch, disposition: str, name: str) -> None:
    """The server's name for the file wins over the URL's, and never names a folder."""
    answer = Answer(body=b"x", headers={"Content-Disposition": disposition})
    with HttpServer({"/clip.mp4": answer}) as server:
        assert fetch(f"{server.url}/clip.mp4") == name


def test_the_name_of_a_url_comes_without_folders(fetch: Fetch) -> None:
    """Escaped slashes in the URL do not become folders, and a URL may have no name at all."""
    with HttpServer(lambda _: Answer(body=b"x")) as server:
        assert fetch(f"{server.url}/a/..%2F..%5Cb.mp4") == "b.mp4"
        assert fetch(server.url) == ""


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n")))
def test_no_header_breaks_the_name(disposition: str) -> None:
    """Whatever a server sends as Content-Disposition, a name without folders comes out."""

    class Response:
        headers = {"Content-Disposition": disposition}  # noqa: RUF012 - the class lives for one call

    name = download._filename(check_url("http://good.example/clip.mp4", Policy()), Response())  # type: ignore[arg-type]
    assert "/" not in name
    assert "\\" not in name


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 403, 404, 410, 429, 500, 503])
def test_only_status_200_is_a_file(fetch: Fetch, status: int) -> None:
    """Any other status is a failure of the source that names the status."""
    with HttpServer({"/": Answer(status, b"" if status == 204 else b"sorry")}) as server:
        fetch.fails(f"{server.url}/", SourceFailed, f"status {status}")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"short", headers={"Content-Length": "100"}),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nshort"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
        Answer(),
        Answer(body=[]),
        Answer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000),
        Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n"),
        Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
        Answer(raw=b"\x16\x03\x01\x00\x00"),
        Answer(raw=b""),
    ],
    ids=[
        "cut",
        "chunks without end",
        "cut chunk",
        "bad chunk",
        "two lengths",
        "cut headers",
        "empty",
        "empty until closed",
        "long header",
        "many headers",
        "ssh",
        "noise",
        "nothing",
    ],
)
def test_a_broken_answer_is_a_failed_source(fetch: Fetch, answer: Answer) -> None:
    """Answers that stop early or are no HTTP fail, and nothing of them is kept."""
    with HttpServer({"/": answer}) as server:
        fetch.fails(f"{server.url}/", SourceFailed, "broke|nothing")


def test_compressed_answers_are_refused(fetch: Fetch) -> None:
    """Nothing is decompressed: a small answer cannot become a large file."""
    for encoding in ("gzip", "br", "identity, gzip", "aws-chunked,gzip", "x"):
        with HttpServer({"/": Answer(body=b"\x1f\x8b", headers={"Content-Encoding": encoding})}) as server:
            fetch.fails(f"{server.url}/", SourceFailed, "compressed")


def test_a_declared_size_over_the_limit_is_refused_unread(fetch: Fetch) -> None:
    """The limit is checked against Content-Length before anything is read."""
    with HttpServer({"/": Answer(body=BODY, headers={"Content-Length": str(10**12)})}) as server:
        fetch.fails(f"{server.url}/", TooLarge, "larger than the 2 MB allowed")


def test_the_limit_holds_while_streaming(fetch: Fetch) -> None:
    """An endless body ends at the limit; a file of exactly that size is fine."""
    with HttpServer({}) as server:
        server.answers = {
            "/chunked": Answer(body=endless(server), headers=CHUNKED),
            "/until-closed": Answer(body=endless(server)),
            "/exact": Answer(body=[BODY]),
        }
        for path in ("/chunked", "/until-closed"):
            fetch.fails(f"{server.url}{path}", TooLarge, "larger than the 2 MB allowed")
        fetch(f"{server.url}/exact", max_bytes=len(BODY))
        assert fetch.to.read_bytes() == BODY
        with pytest.raises(TooLarge):
            fetch(f"{server.url}/exact", max_bytes=len(BODY) - 1)
    assert not fetch.to.exists()


def test_a_full_disk_is_reported(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write without room is the worker's full disk; another defect of the disk passes as it is."""
    for code, expected in ((errno.ENOSPC, DiskFull), (errno.EIO, OSError)):

        def full(*_: object, code: int = code) -> NoReturn:
            raise OSError(code, "cannot write")

        monkeypatch.setattr(Transfer, "receive", full)
        with HttpServer({"/": Answer(body=BODY)}) as server, pytest.raises(expected):
            fetch(f"{server.url}/")
        assert not fetch.to.exists()


def test_settings_reach_the_downloader() -> None:
    """The time limit and the policy come from the settings."""
    downloader = Downloader.from_settings(Settings(download_timeout_seconds=7, https_only=True))
    assert (downloader.timeout_seconds, downloader.policy.https_only) == (7, True)

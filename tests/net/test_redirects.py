"""Redirects are followed by hand, a few, and each is checked like the first URL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framepack.errors import SourceFailed, SourceNotAllowed
from tests.support.canary import Canary, Names
from tests.support.certificates import Authority
from tests.support.fetch import Fetch, endless, redirect
from tests.support.http_server import Answer, HttpServer

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_three_redirects_are_followed(fetch: Fetch, status: int) -> None:
    """A chain of three redirects ends at the file, named by its last URL."""
    with HttpServer({}) as other:
        answers = {
            "/1": redirect("/2", status),
            "/2": redirect("3", status),
            "/3": redirect(f"//127.0.0.1:{other.port}/the end.mp4", status),
        }
        other.answers = {"/the%20end.mp4": Answer(body=BODY)}
        with HttpServer(answers) as server:
            assert fetch(f"{server.url}/1") == "the end.mp4"
    assert fetch.to.read_bytes() == BODY


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/",
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "//169.254.169.254/latest/meta-data",
        "http://good.example@127.0.0.2:{port}/",
        "http://rebind.example:{port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "data:text/plain,x",
        "http://127.0.0.1\\@x:{port}/",
        "https:///x",
    ],
)
def test_every_redirect_is_checked_like_the_first_url(fetch: Fetch, location: str) -> None:
    """A redirect to a private address or another scheme is refused and followed by no packet."""
    with Canary("0.0.0.0") as canary:  # noqa: S104 - hears a packet to any local address
        names = Names({"127.0.0.1": [["127.0.0.1"]], "rebind.example": [["127.0.0.2"]], "localhost": [["::1"]]})
        policy = replace(fetch.downloader.policy, ports=frozenset({canary.port}), resolve=names)
        fetch.downloader = replace(fetch.downloader, policy=policy)
        with HttpServer({"/": redirect(location.format(port=canary.port))}) as server:
            fetch.fails(f"{server.url}/", SourceNotAllowed, "^This URL is not allowed")
        assert len(server.requests) == 1
        assert canary.connections == 0


@pytest.mark.parametrize(
    ("answers", "reason", "asked"),
    [
        ({f"/{n}": redirect(f"/{n + 1}") for n in range(1, 6)}, "more than 3 times", 4),
        ({"/1": redirect("/1")}, "more than 3 times", 4),
        ({"/1": Answer(302)}, "to nowhere", 1),
        ({"/1": redirect("http://[x/")}, "not a URL", 1),
        ({"/1": redirect("/2"), "/2": Answer(404)}, "status 404", 2),
        ({"/1": Answer(304)}, "status 304", 1),
    ],
    ids=["four", "loop", "nowhere", "no url", "to a 404", "304"],
)
def test_broken_redirects_fail(fetch: Fetch, answers: dict[str, Answer], reason: str, asked: int) -> None:
    """Chains of four, loops and redirects without a usable address fail."""
    with HttpServer(dict(answers)) as server:
        fetch.fails(f"{server.url}/1", SourceFailed, reason)
    assert len(server.requests) == asked


def test_a_redirect_with_an_endless_body_is_not_read(fetch: Fetch) -> None:
    """The body of a redirect is skipped, however long it is."""
    with HttpServer({}) as server:
        server.answers = {
            "/": Answer(302, endless(server), {"Location": "/file", **CHUNKED}),
            "/file": Answer(body=BODY),
        }
        fetch(f"{server.url}/")
        assert fetch.to.read_bytes() == BODY


def test_with_https_only_a_redirect_to_http_is_refused(fetch: Fetch, tmp_path: Path, authority: Authority) -> None:
    """With ``https_only`` a redirect to plain http is refused."""
    policy = replace(fetch.downloader.policy, https_only=True, resolve=Names({"media.example": [["127.0.0.1"]]}))
    fetch.downloader = replace(fetch.downloader, policy=policy)
    with HttpServer({"/": redirect("http://media.example/")}, tls=authority.server("media.example")) as server:
        fetch.fails(f"https://media.example:{server.port}/", SourceNotAllowed, "public https address")
    assert len(server.requests) == 1

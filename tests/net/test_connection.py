"""Connections go straight to the address that was checked, under the name of the URL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framepack.errors import SourceFailed
from framepack.net.addresses import Policy
from tests.support.canary import Canary, Names
from tests.support.certificates import Authority
from tests.support.fetch import Fetch, at_loopback
from tests.support.http_server import Answer, HttpServer

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes


def test_an_unreachable_server_is_a_failed_source(fetch: Fetch) -> None:
    """A refused connection is a failed source."""
    with Canary() as canary:
        port = canary.port
    fetch.fails(f"http://127.0.0.1:{port}/", SourceFailed, "could not be reached")
    fetch.fails(f"https://127.0.0.1:{port}/", SourceFailed, "could not be reached")


def test_a_name_is_looked_up_once_and_its_other_addresses_tried(fetch: Fetch) -> None:
    """One lookup per connection; the next address serves when the first does not; the Host header keeps the name."""
    names = Names({"media.example": [["127.0.0.2", "127.0.0.1"], ["10.0.0.1"]]})
    policy = Policy(allowed_hosts=("127.0.0.0/8",), resolve=names)
    fetch.downloader = replace(fetch.downloader, policy=policy)
    with HttpServer({"/": Answer(body=BODY)}) as server:
        fetch(f"http://media.example:{server.port}/")
        assert fetch.to.read_bytes() == BODY
    assert names.asked == ["media.example"]
    assert server.requests[0].headers["Host"] == f"media.example:{server.port}"


def test_proxies_of_the_environment_are_not_used(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go straight to the checked address, whatever proxy is configured."""
    with Canary() as proxy, HttpServer({"/": Answer(body=BODY)}) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetch(f"{server.url}/")
        assert fetch.to.read_bytes() == BODY
        assert proxy.connections == 0


def test_tls_uses_the_name_and_connects_to_the_address(fetch: Fetch, authority: Authority) -> None:
    """Certificate and server name are those of the URL, although the connection goes to a literal address."""
    fetch.downloader = replace(fetch.downloader, policy=at_loopback("media.example"))
    asked_for: list[str | None] = []
    context = authority.server("media.example")
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    with HttpServer({"/": Answer(body=BODY)}, tls=context) as server:
        fetch(f"https://media.example:{server.port}/")
        assert fetch.to.read_bytes() == BODY
    assert asked_for == ["media.example"]
    assert server.requests[0].headers["Host"] == f"media.example:{server.port}"


@pytest.mark.parametrize("problem", ["untrusted", "other name", "expired"])
def test_a_bad_certificate_is_a_failed_source(
    fetch: Fetch, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    """Nothing is sent to a server that cannot prove its name."""
    if problem == "untrusted":
        monkeypatch.undo()
    fetch.downloader = replace(fetch.downloader, policy=at_loopback("media.example"))
    context = authority.server(
        "other.example" if problem == "other name" else "media.example", days=-1 if problem == "expired" else 1
    )
    with HttpServer({"/": Answer(body=BODY)}, tls=context) as server:
        fetch.fails(f"https://media.example:{server.port}/", SourceFailed, "no valid TLS certificate")
    assert server.requests == []

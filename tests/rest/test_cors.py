"""Scripts of web pages: origins that are named may call the server, others may not, and none needs a key to ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from framepack.errors import InvalidSettings
from framepack.settings import load_settings
from tests.support.rest_server import KEY, HeldBackend, LocalServer, server_in_thread

PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server for one page."""
    folder = tmp_path_factory.mktemp("cors")
    with server_in_thread(
        folder, HeldBackend(), HeldBackend(), cors_origins=f"{PAGE},http://localhost:3000"
    ) as running:
        yield running


def asked(server: LocalServer, method: str, path: str, origin: str = PAGE, **headers: str) -> requests.Response:
    """A request as a browser sends it for a page."""
    return requests.request(method, server.url + path, headers={"Origin": origin, **headers}, timeout=30)


def test_a_browser_may_ask_without_a_key_what_a_page_may_send(server: LocalServer) -> None:
    """The preflight of a request with a key and JSON."""
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,content-type"}

    answer = asked(server, "OPTIONS", "/postprocess/upscale", **wanted)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert "x-api-key" in allowed
    assert "content-type" in allowed
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_reads_answers_errors_and_the_headers_that_it_needs(server: LocalServer) -> None:
    """Also where the key is missing, so that the page can say so."""
    answers = [
        asked(server, "GET", "/filters/presets", **{"X-API-Key": KEY}),
        asked(server, "GET", "/jobs/unknown", **{"X-API-Key": KEY}),
        asked(server, "GET", "/filters/presets"),
    ]

    assert [answer.status_code for answer in answers] == [200, 404, 401]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in answer.headers["Vary"]
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert all(name in exposed for name in ("X-Job-Id", "Location", "Retry-After", "Content-Disposition"))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example.com", "https://app.example.com.evil", "null"]
)
def test_other_pages_may_not(origin: str, server: LocalServer) -> None:
    """Neither by asking first nor by trying."""
    asked_first = asked(server, "OPTIONS", "/jobs", origin, **{"Access-Control-Request-Method": "GET"})
    tried = asked(server, "GET", "/filters/presets", origin, **{"X-API-Key": KEY})

    assert asked_first.status_code == 400
    assert "Access-Control-Allow-Origin" not in asked_first.headers
    assert "Access-Control-Allow-Origin" not in tried.headers


def test_without_the_setting_no_page_may(tmp_path: Path) -> None:
    """The default names nobody."""
    with server_in_thread(tmp_path, HeldBackend(), HeldBackend()) as server:
        answer = asked(server, "GET", "/health")
        asked_first = asked(server, "OPTIONS", "/jobs", **{"Access-Control-Request-Method": "GET"})

    assert answer.status_code == 200
    assert not any(name.startswith("Access-Control") for name in answer.headers)
    assert asked_first.status_code == 401


@pytest.mark.parametrize(
    "text",
    ["app.example.com", "https://app.example.com/", "ftp://app.example.com", "https://a b", "https://*.example.com",
     "https://app.example.com:99999", "null"],
)  # fmt: skip
def test_an_origin_that_no_browser_sends_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence shows what is allowed."""
    monkeypatch.setenv("FRAMEPACK_CORS_ORIGINS", text)
    with pytest.raises(InvalidSettings, match="FRAMEPACK_CORS_ORIGINS"):
        load_settings()


@pytest.mark.parametrize("text", ["*", "https://app.example.com", "http://localhost:3000, HTTPS://Other.example"])
def test_origins_are_accepted(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upper and lower case are the same in origins."""
    monkeypatch.setenv("FRAMEPACK_CORS_ORIGINS", text)
    assert load_settings().cors_origins == tuple(part.strip().lower() for part in text.split(","))

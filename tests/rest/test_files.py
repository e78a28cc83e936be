"""Results can be fetched with a signed link or a key, in ranges, and show nothing that they should not."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from framepack.storage.keys import Key
from framepack.storage.links import LinkSigner
from framepack.storage.open import link_signer
from tests.support.rest_server import KEY, HeldBackend, LocalServer, server_in_thread

CONTENT = bytes(range(256)) * 40
VIDEO = Key("postprocessed_output/temp_processing/clip_upscaled (1).mp4")
REFUSAL = {"detail": "Invalid or missing API key", "code": "unauthorized"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server with a result in its store."""
    with server_in_thread(tmp_path_factory.mktemp("files"), HeldBackend()) as client:
        client.server.runtime.storage.put_bytes(VIDEO, CONTENT)
        yield client


def fetch(url: str, method: str = "GET", **headers: str) -> requests.Response:
    """Ask without a key, as a browser or a receiver does."""
    return requests.request(method, url, headers=headers, timeout=30, allow_redirects=False)


def link(client: LocalServer, key: Key = VIDEO) -> str:
    """The signed link to an object."""
    url = client.server.runtime.storage.url(key)
    assert url is not None
    return url


def put(client: LocalServer, name: str, content: bytes = b"<script>alert(1)</script>") -> Key:
    """Store a file among the results."""
    key = Key(f"postprocessed_output/saved_videos/{name}")
    client.server.runtime.storage.put_bytes(key, content)
    return key


def changed(url: str, **values: str) -> str:
    """A link with another path, expiry or signature."""
    parts = urlsplit(url)
    query = {name: value[0] for name, value in parse_qs(parts.query).items()}
    path = values.pop("path", parts.path)
    return f"{parts.scheme}://{parts.netloc}{path}?{urlencode({**query, **values})}"


def test_a_signed_link_needs_no_key(client: LocalServer) -> None:
    """The link has a signature and an expiry time."""
    answer = fetch(link(client))

    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "video/mp4"


def test_a_file_is_served_by_its_path_with_a_key(client: LocalServer) -> None:
    """The URL needs no signature."""
    assert client.get(f"/outputs/{VIDEO}").content == CONTENT
    assert fetch(f"{client.url}/outputs/{VIDEO}").json() == REFUSAL


def test_changed_links_are_refused(client: LocalServer) -> None:
    """The path, the expiry time or the signature was changed. The message is that for a missing key."""
    other = put(client, "other.mp4")
    url = link(client)
    signature = parse_qs(urlsplit(url).query)["signature"][0]
    changes = [
        {"path": f"/outputs/{other}"},
        {"expires": str(int(time.time()) + 10**6)},
        {"expires": "9" * 400},
        {"expires": "-1"},
        {"expires": "١٢٣"},
        {"expires": ""},
        {"signature": signature[:-1] + ("0" if signature[-1] != "0" else "1")},
        {"signature": signature.upper()},
        {"signature": ""},
        {"signature": "é\ud800".encode("utf-8", "surrogatepass").decode("latin-1")},
    ]

    for change in changes:
        answer = fetch(changed(url, **change))
        assert (answer.status_code, answer.json()) == (401, REFUSAL), change
    assert fetch(url, "POST").status_code == 401
    assert fetch(url).status_code == 200


def test_an_expired_link_is_refused_with_the_reason(client: LocalServer) -> None:
    """The message for a forged link is that for a missing key."""
    signer = link_signer(client.server.runtime.settings, client.server.runtime.storage)
    past = LinkSigner(signer.secret, 60, clock=lambda: time.time() - 3600)
    url = f"{client.url}/outputs/{VIDEO}?{past.query(VIDEO)}"

    answer = fetch(url)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "expired" in answer.json()["detail"]
    assert fetch(changed(url, signature="0" * 64)).json() == REFUSAL
    assert client.get(urlsplit(url).path + "?" + urlsplit(url).query).content == CONTENT


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-99", 206, CONTENT[:100]),
        ("bytes=100-", 206, CONTENT[100:]),
        ("bytes=-10", 206, CONTENT[-10:]),
        ("bytes=0-999999999", 206, CONTENT),
        ("bytes=-999999999", 206, CONTENT),
        (f"bytes={len(CONTENT) - 1}-", 206, CONTENT[-1:]),
        ("bytes=0-0,99999999-", 206, CONTENT[:1]),
        ("bytes=5-2", 200, CONTENT),
        ("bytes=a-b", 200, CONTENT),
        ("bytes=", 200, CONTENT),
        ("bytes=-", 200, CONTENT),
        ("bytes=٣-", 200, CONTENT),
        ("items=0-5", 200, CONTENT),
        ("nonsense", 200, CONTENT),
    ],
)
def test_a_range_request_gets_its_part(client: LocalServer, asked: str, status: int, expected: bytes) -> None:
    """An invalid Range header is ignored, as HTTP requires."""
    answer = requests.get(link(client), headers={"Range": asked.encode()}, timeout=30)

    assert (answer.status_code, answer.content) == (status, expected)
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_past_the_end_is_416_with_the_size(client: LocalServer, asked: str) -> None:
    """The file has no such part."""
    answer = fetch(link(client), Range=asked)

    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_several_ranges_are_sent_as_multipart(client: LocalServer) -> None:
    """The content type is multipart/byteranges."""
    answer = fetch(link(client), Range="bytes=0-1,100-101")

    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert CONTENT[100:102] in answer.content


def test_head_has_the_headers_of_get_and_the_etag_avoids_a_download(client: LocalServer) -> None:
    """With the ETag in If-None-Match the response is 304 without a body."""
    head = fetch(link(client), "HEAD")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))

    again = fetch(link(client), **{"If-None-Match": head.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", head.headers["etag"])
    assert fetch(link(client), **{"If-None-Match": '"other"'}).status_code == 200
    part = fetch(link(client), **{"If-Range": head.headers["etag"], "Range": "bytes=0-1"})
    assert part.status_code == 206
    assert fetch(link(client), **{"If-Range": '"other"', "Range": "bytes=0-1"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp4", "inline"),
        ("a.webm", "inline"),
        ("a.gif", "inline"),
        ("a.png", "inline"),
        ("a.svg", "attachment"),
        ("a.svgz", "attachment"),
        ("a.html", "attachment"),
        ("a.xhtml", "attachment"),
        ("a.xml", "attachment"),
        ("a.js", "attachment"),
        ("a.pdf", "attachment"),
        ("a.mp4.html", "attachment"),
        ("a", "attachment"),
        ("a.unknown", "attachment"),
    ],
)
def test_files_are_served_with_headers_that_forbid_scripts(client: LocalServer, name: str, kind: str) -> None:
    """Only images and videos are displayed in the browser; other files are downloaded."""
    answer = fetch(link(client, put(client, name)))

    assert answer.headers["content-disposition"].startswith(f"{kind}; filename*=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    if kind == "attachment":
        assert not answer.headers["content-type"].startswith(("video/", "image/png"))


def test_odd_file_names_are_escaped_in_content_disposition(client: LocalServer) -> None:
    """These are quotes, spaces and non-ASCII letters."""
    key = put(client, 'a "b" é; x=1.png')

    answer = fetch(link(client, key))

    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''a%20%22b%22%20%C3%A9%3B%20x%3D1.png"


def test_a_missing_file_is_404_with_a_link_and_401_without(client: LocalServer) -> None:
    """Without a key the response does not reveal which files exist."""
    missing = Key("postprocessed_output/temp_processing/gone.mp4")

    assert fetch(link(client, missing)).json()["code"] == "not_found"
    assert client.get(f"/outputs/{missing}").status_code == 404
    assert client.get("/outputs/postprocessed_output").status_code == 404
    assert client.get("/outputs/").status_code == 404
    assert fetch(f"{client.url}/outputs/{missing}").status_code == 401


TRAVERSALS = [
    "..",
    "../secret.txt",
    "%2e%2e/secret.txt",
    "%2e%2e%2fsecret.txt",
    "..%2fsecret.txt",
    "..%5csecret.txt",
    "%252e%252e/secret.txt",
    "postprocessed_output/../../secret.txt",
    "postprocessed_output/%2e%2e/%2e%2e/secret.txt",
    "postprocessed_output/./temp_processing",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "file:///etc/passwd",
    "a%00b",
    "%ff%fe",
    "%ed%a0%80",
    "a%0d%0aX:1",
    "~/secret.txt",
    "C:%5csecret.txt",
    ".incoming",
    ".incoming/x",
    "x" * 5000,
    "link.txt",
    "folder/secret.txt",
    "pipe",
    "state/settings/link-secret.json",
    "state%2fsettings%2flink-secret.json",
    "state/%6cink-secret.json",
    "./state/settings/link-secret.json",
    "x/../state/settings/link-secret.json",
    "state",
    "state/",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_paths_outside_the_store_and_its_state_are_not_served(client: LocalServer, path: str) -> None:
    """These are files beside the store, its state, and targets of symbolic links, with and without a key."""
    outputs = Path(client.server.runtime.settings.storage.removeprefix("file:"))
    secret = outputs.parent / "secret.txt"
    if not secret.exists():
        import os

        secret.write_text("secret")
        (outputs / "link.txt").symlink_to(secret)
        (outputs / "folder").symlink_to(outputs.parent)
        os.mkfifo(outputs / "pipe")
        link(client)
        assert (outputs / "state/settings/link-secret.json").exists()
    for headers, statuses in (({"X-API-Key": KEY}, {404}), ({}, {401})):
        for query in ("", "?expires=9999999999&signature=0"):
            connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
            connection.request("GET", f"/outputs/{path}{query}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            assert answer.status in statuses, (path, body)
            assert b"secret" not in body


def test_a_signed_link_to_the_state_is_404(client: LocalServer) -> None:
    """The signature is valid."""
    assert fetch(link(client, Key("state/settings/link-secret.json"))).status_code == 404

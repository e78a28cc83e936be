"""Whatever a client sends, it is understood or refused in one sentence."""

from __future__ import annotations

import http.client
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from framepack.storage.keys import Key
from tests.support.rest_server import KEY, HeldBackend, LocalServer, RestServer, eventually, server_in_thread

URL = "https://example.com/video.mp4"
UPSCALE = "/postprocess/upscale"
FROM_PRESET = "/postprocess/pipeline/from-preset"


@pytest.fixture(scope="module")
def backend() -> HeldBackend:
    """Keeps what it is given."""
    return HeldBackend(slots=1000)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, backend: HeldBackend) -> Iterator[LocalServer]:
    """A server with a small limit."""
    folder = tmp_path_factory.mktemp("fields")
    with server_in_thread(folder, backend, max_body_mb=1, max_queued_jobs=1000) as client:
        yield client


def send(client: LocalServer, body: bytes, content_type: str = "application/json", path: str = UPSCALE) -> Any:
    """POST these very bytes."""
    headers: dict[str, str | None] = {"Content-Type": content_type, "Prefer": "respond-async"}
    return client.post(path, headers=headers, data=body)


def refusal(answer: requests.Response, status: int = 400) -> str:
    """The sentence of a refusal, which has the documented form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"detail", "code"}
    assert isinstance(body["detail"], str)
    assert isinstance(body["code"], str)
    assert "\n" not in body["detail"]
    assert body["detail"]
    return str(body["detail"])


def taken(client: LocalServer, backend: HeldBackend, answer: requests.Response) -> dict[str, Any]:
    """The fields that a job was made of."""
    assert answer.status_code == 202, answer.text
    return backend.wait_for(answer.json()["job_id"]).item.read_fields()


BROKEN = {
    "no JSON": b"video_url=x",
    "cut off": b'{"video_url": "https://exa',
    "two objects": b"{}{}",
    "a list": b"[]",
    "a word": b'"video_url"',
    "null": b"null",
    "a number": b"5",
    "NaN": b'{"video_url": "https://e.com/v.mp4", "scale_factor": NaN}',
    "Infinity": b'{"video_url": "https://e.com/v.mp4", "scale_factor": Infinity}',
    "-Infinity": b'{"video_url": "https://e.com/v.mp4", "scale_factor": -Infinity}',
    "1e999": b'{"video_url": "https://e.com/v.mp4", "scale_factor": 1e999}',
    "5,000 digits": b'{"video_url": "https://e.com/v.mp4", "tile_size": ' + b"9" * 5000 + b"}",
    "1,000 digits": b'{"video_url": "https://e.com/v.mp4", "scale_factor": ' + b"9" * 1000 + b"}",
    "a lone surrogate": b'{"video_url": "https://e.com/\\ud800.mp4"}',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "a name given twice": b'{"video_url": "https://e.com/a", "video_url": "https://e.com/b"}',
    "a name given twice inside": b'{"video_url": "https://e.com/a", "model": {"a": 1, "a": 2}}',
    "90,000 arrays in each other": b'{"video_url": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    "100 objects in each other": b'{"a": ' * 100 + b"1" + b"}" * 100,
    "no UTF-8": b'{"video_url": "\xff\xfe"}',
    "UTF-16": '{"video_url": "https://e.com/v.mp4"}'.encode("utf-16"),
    "UTF-32": '{"video_url": "https://e.com/v.mp4"}'.encode("utf-32"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "an unknown field": b'{"video_url": "https://e.com/v.mp4", "scale_fcator": 2}',
    "a number as text": b'{"video_url": "https://e.com/v.mp4", "scale_factor": "2"}',
    "a boolean as number": b'{"video_url": "https://e.com/v.mp4", "scale_factor": true}',
    "half a tile": b'{"video_url": "https://e.com/v.mp4", "tile_size": 256.5}',
    "no source": b"{}",
    "an empty source": b'{"video_url": ""}',
    "two sources": b'{"video_url": "https://e.com/v.mp4", "video_base64": "AAAA"}',
    "the operation's own words": b'{"video_url": "https://e.com/v.mp4", "endpoint": "join", "method": "GET"}',
    "NUL": b'{"video_url": "https://e.com/v.mp4\x00"}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_invalid_bodies_are_refused(client: LocalServer, body: bytes) -> None:
    """A body must be one JSON object with valid fields."""
    refusal(send(client, body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "The body is not valid JSON."),
        (b"[]", "The body must be a JSON object."),
        (b'{"scale_factor": NaN}', "NaN is not a JSON number."),
        (b'{"scale_factor": 1e999}', "A number is too large."),
        (b'{"a": 1, "a": 2}', "'a' is given twice."),
        (b'{"' + b"a" * 201 + b'": 1}', "The name of a field must have at most 200 characters, not 201."),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "The body must be nested at most 32 deep."),
        (b"{}", "Either video_base64 or video_url is required"),
    ],
)
def test_a_refusal_names_what_is_wrong(client: LocalServer, body: bytes, words: str) -> None:
    """The message is one sentence."""
    assert refusal(send(client, body)) == words


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "json"],
)
def test_other_content_types_are_refused(client: LocalServer, content_type: str) -> None:
    """The message names the expected header."""
    body = json.dumps({"video_url": URL}).encode()

    assert "Content-Type: application/json" in refusal(send(client, body, content_type))


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", ""])
def test_json_is_accepted_under_every_content_type_for_json(
    client: LocalServer, backend: HeldBackend, content_type: str
) -> None:
    """A character set may be added, and a body without a content type is read as JSON."""
    answer = send(client, json.dumps({"video_url": URL}).encode(), content_type)

    assert taken(client, backend, answer) == {"video_url": URL}


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"video_url": "https://e.com/v.mp4", "tile_size": 256.0}',
        b' \r\n{"video_url": "https://e.com/v.mp4", "tile_size": 256, "model": null}\n',
        b'{"video_url": "https://e.com/v.mp4", "scale_factor": 2E0, "tile_size": 256}',
    ],
)
def test_unusual_but_valid_json_is_accepted(client: LocalServer, backend: HeldBackend, body: bytes) -> None:
    """This is a byte order mark, white space, null for a missing value, and 256.0 for 256."""
    assert taken(client, backend, send(client, body))["tile_size"] == 256


def test_query_parameters_and_body_are_combined(client: LocalServer, backend: HeldBackend) -> None:
    """Numbers and booleans in the query are converted to the types of their fields."""
    answer = client.post(
        f"{UPSCALE}?scale_factor=3&enhance_face=false&model=2&tile_size=0",
        {"video_url": URL},
        headers={"Prefer": "respond-async"},
    )

    fields = taken(client, backend, answer)
    assert fields == {"video_url": URL, "scale_factor": 3, "enhance_face": False, "model": "2", "tile_size": 0}


def test_empty_text_in_optional_fields_counts_as_not_given(client: LocalServer, backend: HeldBackend) -> None:
    """Forms send it for inputs that nobody filled in, in the query and in the body."""
    body = {"video_url": URL, "video_base64": " ", "callback_url": "", "scale_factor": ""}
    answer = client.post(f"{UPSCALE}?model=&tile_size=", body, headers={"Prefer": "respond-async"})

    assert taken(client, backend, answer)["video_url"] == URL
    assert "video_url" in refusal(client.post(UPSCALE, {**body, "video_url": ""}))
    assert "no_such_field" in refusal(client.post(UPSCALE, {**body, "no_such_field": ""}))


@pytest.mark.parametrize("path", [f"{UPSCALE}/", f"{FROM_PRESET}/?preset_name=None"])
def test_a_slash_at_the_end_of_a_path_is_ignored(client: LocalServer, backend: HeldBackend, path: str) -> None:
    """The body arrives: there is no redirect."""
    answer = client.post(path, {"video_url": URL}, headers={"Prefer": "respond-async"}, allow_redirects=False)

    assert taken(client, backend, answer)["video_url"] == URL


def test_a_slash_at_the_end_of_a_path_counts_in_a_delete(client: LocalServer) -> None:
    """A path whose last part is empty does not delete the folder before it."""
    folder = Key("postprocessed_output/frames/extracted_frames/some/frame_000000.png")
    client.server.runtime.storage.put_bytes(folder, b"abc")

    assert client.get("/frames/some/").status_code == 200
    assert client.delete("/frames/some/").status_code in {404, 405}
    assert client.server.runtime.storage.stat(folder) is not None


@pytest.mark.parametrize("in_query", [True, False], ids=["query", "body"])
def test_a_preset_may_be_named_in_the_query_or_in_the_body(
    client: LocalServer, backend: HeldBackend, *, in_query: bool
) -> None:
    """The API document shows it in the query."""
    fields = {"preset_name": "4K Upscale + Cinematic", "video_url": URL}
    headers: dict[str, str | None] = {"Prefer": "respond-async"}
    if in_query:
        answer = client.post(FROM_PRESET, headers=headers, params=fields)
    else:
        answer = client.post(FROM_PRESET, fields, headers=headers)

    assert taken(client, backend, answer) == fields


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("scale_fcator=2", "scale_fcator"),
        ("scale_factor=NaN", "NaN"),
        ("scale_factor=1e999", "too large"),
        ("scale_factor=two", "scale_factor"),
        ("enhance_face=True", "enhance_face"),
        ("scale_factor=2&scale_factor=3", "twice"),
        ("video_url=https://e.com/other.mp4", "twice"),
        ("%ED%A0%80=1", "�"),
        ("endpoint=join", "endpoint"),
        ("scale_factor=" + "[" * 5000, "scale_factor"),
        ("=1", "input"),
    ],
)
def test_invalid_query_parameters_are_refused(client: LocalServer, query: str, word: str) -> None:
    """They are checked like fields of the body. A field must not be in both."""
    assert word in refusal(client.post(f"{UPSCALE}?{query}", {"video_url": URL}))


@pytest.mark.parametrize("path", ["/filters/presets", "/frames/folders", "/postprocess/autosave"])
def test_unknown_fields_of_a_get_are_refused(client: LocalServer, path: str) -> None:
    """This holds for the query and the body of a route without fields."""
    assert client.get(path).status_code == 200
    assert "extra" in refusal(client.get(f"{path}?extra=1"))
    assert "extra" in refusal(client.get(path, body={"extra": 1}))
    assert client.get(path, body={}).status_code == 200


@pytest.mark.parametrize("path", ["/frames/x?folder=y", "/frames/x?folder=x"])
def test_a_path_parameter_repeated_elsewhere_is_refused(client: LocalServer, path: str) -> None:
    """The message says that the field is given twice."""
    assert "folder is given twice" in refusal(client.get(path))


@pytest.mark.parametrize("name", ["%ff%fe", "a%00b", "%2e%2e", "..", "a%0d%0aX:1", "x" * 5000, "%ed%a0%80"])
def test_odd_path_parameters_are_400_or_404(client: LocalServer, name: str) -> None:
    """They never cause a server error."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    connection.request("GET", f"/frames/{name}", headers={"X-API-Key": KEY})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()

    assert answer.status in {400, 404}
    assert isinstance(body["detail"], str)


def test_a_declared_length_over_the_limit_is_refused_unread(client: LocalServer) -> None:
    """The response is sent before the body arrives."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    connection.putrequest("POST", UPSCALE)
    for name, value in {"X-API-Key": KEY, "Content-Type": "application/json", "Content-Length": "100000000"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()

    assert answer.status == 413
    assert json.loads(answer.read())["detail"] == "The request's body must have at most 1 MB."
    connection.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_body_over_the_limit_is_not_held_in_memory(client: LocalServer, tmp_path: Path, *, chunked: bool) -> None:
    """The body has 100 MB, with or without a declared length."""
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 100_000_000)
    before = psutil.Process().memory_info().rss
    most = [before]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            most.append(psutil.Process().memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with large.open("rb") as file:
            body = iter(lambda: file.read(1_000_000), b"") if chunked else file
            answer = client.post(UPSCALE, headers={"Content-Type": "application/json"}, data=body)
    finally:
        stop.set()
        watcher.join()

    assert answer.request.headers.get("Content-Length") == (None if chunked else "100000000")
    assert refusal(answer, 413) == "The request's body must have at most 1 MB."
    assert max(most) - before < 30_000_000


def test_a_body_at_the_limit_is_accepted(client: LocalServer, backend: HeldBackend) -> None:
    """One more byte is refused."""
    body = json.dumps({"video_url": URL}).encode()

    answer = send(client, body + b" " * (1_000_000 - len(body)))

    assert taken(client, backend, answer) == {"video_url": URL}
    refusal(send(client, body + b" " * (1_000_001 - len(body))), 413)


def test_a_client_that_disconnects_early_causes_no_server_error(tmp_path: Path) -> None:
    """The body ends early, and nothing is logged as an error."""
    with RestServer(tmp_path) as server:
        for path in (UPSCALE, "/uploads"):
            connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
            connection.putrequest("POST", path)
            connection.putheader("X-API-Key", KEY)
            connection.putheader("Content-Type", "multipart/form-data; boundary=x")
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\nabc')
            connection.close()
        assert server.get("/jobs").status_code == 200
        server.stop()
        assert "Traceback" not in server.log
        assert "unexpectedly" not in server.log


def test_bodies_of_waiting_requests_are_not_held_in_memory(tmp_path: Path) -> None:
    """Twenty requests with 8 MB each wait for their jobs."""
    body = json.dumps({"video_base64": "A" * 8_000_000}).encode()
    headers: dict[str, str | None] = {"Content-Type": "application/json"}
    held = HeldBackend(slots=20)
    with server_in_thread(tmp_path, held) as server, ThreadPoolExecutor(20) as pool:
        tracemalloc.start()
        try:
            waiting = [pool.submit(server.post, UPSCALE, headers=headers, data=body) for _ in range(20)]
            assert eventually(lambda: len(held.held) == 20)
            assert eventually(lambda: tracemalloc.get_traced_memory()[0] < 20_000_000, seconds=10)
        finally:
            tracemalloc.stop()
            for each in list(held.held.values()):
                each.finish(success=True)
        assert [answer.result().json() for answer in waiting] == [{"success": True}] * 20


def test_a_body_that_stalls_is_refused_after_the_timeout(tmp_path: Path) -> None:
    """The message names the time limit."""
    with server_in_thread(tmp_path, HeldBackend(), download_timeout_seconds=0.2) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        connection.putrequest("POST", UPSCALE)
        for name, value in {"X-API-Key": KEY, "Content-Type": "application/json", "Content-Length": "100"}.items():
            connection.putheader(name, value)
        connection.endheaders(b'{"video_url":')
        answer = connection.getresponse()

        assert answer.status == 400
        assert json.loads(answer.read())["detail"] == "The request's body must arrive within 0.2 seconds."
        connection.close()

"""Our own addresses as sources: they are read from the store, never over HTTP, and name nothing but results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from framepack.job import Job, JobInput
from framepack.runtime import Runtime
from framepack.settings import Settings
from framepack.storage.links import key_of_own_url
from tests.support.rest_server import (
    HeldBackend,
    LocalServer,
    RestServer,
    server_in_thread,
    tiny_weights,
    upload,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server."""
    with server_in_thread(tmp_path_factory.mktemp("own"), HeldBackend()) as client:
        yield client


@pytest.fixture(scope="module")
def fetched(client: LocalServer, video: Path) -> dict[str, str]:
    """The forms in which a result of ours can be named."""
    reference = upload(client, video.read_bytes()).json()["video_url"]
    saved = client.post("/postprocess/save", {"video_url": reference, "custom_name": "a + b"}).json()
    url = saved["output_url"]
    return {
        "upload": reference,
        "path": saved["saved_path"],
        "escaped path": urlsplit(url).path,
        "link": url,
        "link without its query": url.partition("?")[0],
        "link with another query": url.partition("?")[0] + "?x=1#t=2",
    }


@pytest.mark.parametrize(
    "form", ["upload", "path", "escaped path", "link", "link without its query", "link with another query"]
)
def test_urls_of_this_server_are_read_from_the_store(
    client: LocalServer, fetched: dict[str, str], video: Path, form: str
) -> None:
    """These are uploads, paths and signed links."""
    answer = client.post("/postprocess/save", {"video_url": fetched[form]})

    assert answer.status_code == 200, answer.text
    again = client.get(answer.json()["saved_path"]).content
    assert hashlib.sha256(again).digest() == hashlib.sha256(video.read_bytes()).digest()


@pytest.mark.parametrize(
    "url",
    [
        "/outputs/state/settings/link-secret.json",
        "/outputs/state%2Fsettings%2Flink-secret.json",
        "/outputs/st%61te/settings/link-secret.json",
        "/outputs/../secret.txt",
        "/outputs/%2e%2e/secret.txt",
        "/outputs/x/../state/settings/link-secret.json",
        "/outputs//etc/passwd",
        "/outputs/",
        "/outputs/gone.mp4",
        "/outputs/%ff",
        "/outputs/a%00b",
        "outputs/x.mp4",
        "/etc/passwd",
        "file:///etc/passwd",
        "//127.0.0.1/outputs/x.mp4",
        "{url}/outputs/state/settings/link-secret.json",
        "{url}/outputs/gone.mp4?expires=1&signature=2",
    ],
)
def test_paths_outside_the_readable_store_are_refused_as_sources(client: LocalServer, url: str) -> None:
    """These are state, files outside the store, and missing files."""
    answer = client.post("/postprocess/save", {"video_url": url.format(url=client.url)})

    assert answer.status_code in {400, 404}, answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://host:8000/outputs/a.mp4", "a.mp4"),
        ("http://host:8000/outputs/a%20b.mp4?expires=1&signature=2", "a b.mp4"),
        ("/outputs/a.mp4", "a.mp4"),
        ("http://host:80000/outputs/a.mp4", None),
        ("http://host:8000.evil.com/outputs/a.mp4", None),
        ("http://host:8000@evil.com/outputs/a.mp4", None),
        ("http://evil.com/outputs/a.mp4", None),
        ("http://host:8000/other/a.mp4", None),
    ],
)
def test_only_the_exact_public_url_is_an_own_url(url: str, key: str | None) -> None:
    """Other URLs are downloaded, with all checks."""
    found = key_of_own_url(url, "http://host:8000/")

    assert (None if found is None else found.text) == key


def test_an_upload_over_the_source_limit_is_refused_as_a_source(client: LocalServer, video: Path) -> None:
    """Stored files have the same limit as downloads."""
    small = Runtime(Settings(storage=client.server.runtime.settings.storage, max_source_mb=0.0001))
    reference = upload(client, video.read_bytes()).json()["video_url"]

    answer = small.run(JobInput({"endpoint": "save_video", "video_url": reference}), Job("test"))

    assert answer["code"] == "too_large"


def test_the_worker_reads_uploads_and_signs_links_that_the_server_accepts(tmp_path: Path, video: Path) -> None:
    """The worker process upscales an upload, and the link in the answer needs no key."""
    tiny_weights(tmp_path / "weights")
    with RestServer(tmp_path) as server:
        reference = upload(server, video.read_bytes(), "My clip.mp4").json()["video_url"]
        asked: dict[str, Any] = {"video_url": reference, "model": "tiny", "scale_factor": 2}
        first = server.post("/postprocess/upscale", asked).json()
        again = server.post("/postprocess/upscale", {**asked, "video_url": first["output_url"]}).json()

        assert first["output_filename"].startswith("My clip_upscaled_")
        for answer in (first, again):
            fetched = requests.get(answer["output_url"], timeout=30)
            assert (fetched.status_code, len(fetched.content)) == (200, answer["output_file_size"])
            assert fetched.headers["content-type"] == "video/mp4"
            assert fetched.content[4:8] == b"ftyp"

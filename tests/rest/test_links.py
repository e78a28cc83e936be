"""Links are signed alike by all processes of a deployment, and a bucket gives its own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from framepack.rest.server import Server
from framepack.runtime import Runtime
from framepack.settings import Settings
from framepack.storage.frames.folders import folder_key
from framepack.storage.keys import Key
from framepack.storage.links import LinkSigner
from framepack.storage.local import LocalStorage
from framepack.storage.open import link_signer
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread, upload
from tests.support.s3_server import S3Server

CONTENT = bytes(range(256)) * 40
VIDEO = Key("postprocessed_output/temp_processing/clip_upscaled (1).mp4")
CLIP = {"video_base64": "AAAA"}
LOOP = "/postprocess/loop"
REFUSAL = {"detail": "Invalid or missing API key", "code": "unauthorized"}


def test_processes_that_start_together_share_one_link_secret(tmp_path: Path) -> None:
    """A link signed by one is valid for all."""
    for attempt in range(20):
        stores = [LocalStorage(tmp_path / str(attempt)) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            signers = list(pool.map(lambda store: link_signer(Settings(), store), stores))
        assert len({signer.secret for signer in signers}) == 1
        assert link_signer(Settings(), stores[0]).secret == signers[0].secret
        assert (tmp_path / str(attempt) / "state/settings/link-secret.json").stat().st_mode & 0o777 == 0o600


def test_a_configured_link_secret_is_used_and_not_stored(tmp_path: Path) -> None:
    """No secret is generated."""
    store = LocalStorage(tmp_path)

    signer = link_signer(Settings(link_secret="a secret of ours"), store)

    assert signer.secret == b"a secret of ours"
    assert list(store.list()) == []


def test_files_in_a_bucket_are_redirected_to_a_presigned_url(s3: S3Server, tmp_path: Path) -> None:
    """This needs a key."""
    settings: dict[str, Any] = {
        "storage": f"s3://{s3.make_bucket()}/deep",
        "bucket_endpoint_url": s3.endpoint_url,
        "bucket_access_key_id": s3.access_key,
        "bucket_secret_access_key": s3.secret_key,
    }
    with server_in_thread(tmp_path, HeldBackend(), **settings) as client:
        client.server.runtime.storage.put_bytes(VIDEO, CONTENT)

        sent_on = client.get(f"/outputs/{VIDEO}", allow_redirects=False)

        assert sent_on.status_code == 307
        assert requests.get(sent_on.headers["location"], timeout=30).content == CONTENT
        assert (
            requests.get(sent_on.headers["location"], headers={"Range": "bytes=0-9"}, timeout=30).content
            == CONTENT[:10]
        )
        assert client.get("/outputs/state/jobs/x.json").status_code == 404
        assert client.get("/outputs/gone.mp4").status_code == 404
        query = LinkSigner(b"guessed", 60).query(VIDEO)
        assert requests.get(f"{client.url}/outputs/{VIDEO}?{query}", timeout=30).json() == REFUSAL


def without_key(client: LocalServer, path: str, method: str = "GET", **more: Any) -> requests.Response:
    """A request as ``<img>``, ``<video>`` and ``EventSource`` send it."""
    url = path if path.startswith("http") else client.url + path
    return requests.request(method, url, timeout=30, **more)


def test_the_events_of_a_job_can_be_followed_by_a_link_alone(server: LocalServer, backend: HeldBackend) -> None:
    """The link is in the 202 answer and in the job, and works until the job's end."""
    accepted = server.post(LOOP, CLIP, headers={"Prefer": "respond-async"}).json()
    job_id = accepted["job_id"]
    links = [accepted["events_url"], server.job(job_id)["events_url"]]
    assert all(link.startswith(f"/jobs/{job_id}/events?expires=") for link in links)

    with without_key(server, links[0], stream=True) as followed:
        backend.wait_for(job_id).finish(success=True)
        lines = list(followed.iter_lines(decode_unicode=True))

    assert followed.headers["content-type"].startswith("text/event-stream")
    assert "event: end" in lines
    assert '"state":"completed"' in without_key(server, links[1]).text.replace(" ", "")


def test_a_link_opens_nothing_but_its_own_path(server: LocalServer, backend: HeldBackend) -> None:
    """Not another job, not the job itself, not a file, not with another method."""
    first, second = (server.post(LOOP, CLIP, headers={"Prefer": "respond-async"}).json() for _ in range(2))
    backend.wait_for(first["job_id"]).finish(success=True)
    uploaded = upload(server, CONTENT).json()
    path, _, query = first["events_url"].partition("?")
    file_path, file_query = urlsplit(uploaded["url"]).path, urlsplit(uploaded["url"]).query
    assert without_key(server, f"{path}?{query}").status_code == 200
    assert without_key(server, f"{file_path}?{file_query}").content == CONTENT

    for other in (
        f"{second['events_url'].partition('?')[0]}?{query}",
        f"/jobs/{first['job_id']}?{query}",
        f"/jobs?{query}",
        f"{path}?{file_query}",
        f"{file_path}?{query}",
        f"{path}?{query.replace('signature=', 'signature=0')}",
        f"{path}?{query.replace('expires=', 'expires=9')}",
        f"{path}?signature={query.partition('signature=')[2]}",
        path,
    ):
        refused = without_key(server, other)
        assert (refused.status_code, refused.json()) == (401, REFUSAL), other
    for method, opened in (("POST", path), ("DELETE", path), ("DELETE", file_path)):
        own = query if opened is path else file_query
        assert without_key(server, f"{opened}?{own}", method).status_code == 401
    assert without_key(server, f"{file_path}?{file_query}", "HEAD").status_code == 200


def test_an_expired_link_to_events_says_so(server: LocalServer, backend: HeldBackend) -> None:
    """Its signature is right."""
    job_id = server.start_job(LOOP, CLIP)
    backend.wait_for(job_id).finish(success=True)
    path = f"/jobs/{job_id}/events"
    past = LinkSigner(server.server.signer.secret, 60, clock=lambda: time.time() - 3600)

    refused = without_key(server, f"{path}?{past.query(path)}")

    assert (refused.status_code, "expired" in refused.json()["detail"]) == (401, True)
    assert server.get(f"{path}?{past.query(path)}").status_code == 200
    assert server.get(f"{path}?other=1").status_code == 400


@pytest.mark.parametrize("presign", ["folder", "true", "false"])
def test_uploads_and_frames_can_be_shown_by_a_link_alone(s3: S3Server, tmp_path: Path, presign: str) -> None:
    """In a folder and in a bucket, with presigned links and without."""
    settings: dict[str, Any] = {
        "storage": f"s3://{s3.make_bucket()}/deep",
        "bucket_endpoint_url": s3.endpoint_url,
        "bucket_access_key_id": s3.access_key,
        "bucket_secret_access_key": s3.secret_key,
        "s3_presign": presign,
    }
    with server_in_thread(tmp_path, HeldBackend(), **({} if presign == "folder" else settings)) as client:
        for name in ("1.png", "2.png"):
            client.server.runtime.storage.put_bytes(folder_key("clip") / name, name.encode())

        uploaded = upload(client, CONTENT, "my clip.mp4").json()
        frames = client.get("/frames/clip?with_urls=true").json()["frames"]
        plain = client.get("/frames/clip").json()["frames"]

        shown = without_key(client, uploaded["url"], headers={"Range": "bytes=10-19"})
        assert shown.ok
        assert (shown.content, shown.headers["content-type"]) == (CONTENT[10:20], "video/mp4")
        assert [without_key(client, frame["url"]).content for frame in frames] == [b"1.png", b"2.png"]
        assert [{**frame, "url": None} for frame in frames] == [{**frame, "url": None} for frame in plain]
        assert not any("url" in frame for frame in plain)
        events = client.post(LOOP, CLIP, headers={"Prefer": "respond-async"}).json()["events_url"]
        with without_key(client, events, stream=True) as followed:
            assert followed.status_code == 200


def test_a_repeated_upload_gets_a_new_link(server: LocalServer) -> None:
    """The old one may have expired."""
    first = repeated_upload(server)
    time.sleep(1.1)  # links count in seconds

    second = repeated_upload(server)

    assert first["video_url"] == second["video_url"]
    assert first["url"] != second["url"]
    assert without_key(server, second["url"]).content == CONTENT


def repeated_upload(server: LocalServer) -> dict[str, Any]:
    """Upload the same file with the same key."""
    files = {"file": ("clip.mp4", CONTENT, "video/mp4")}
    answer = server.ask("POST", "/uploads", files=files, headers={"Idempotency-Key": "k"})
    found: dict[str, Any] = answer.json()
    return found


def test_without_a_public_url_there_are_no_links(tmp_path: Path) -> None:
    """No secret is generated either."""
    server = Server(Runtime(Settings(storage=f"file:{tmp_path}")), HeldBackend(), HeldBackend())

    assert server.runtime.storage.url(VIDEO) is None
    assert list(tmp_path.iterdir()) == []

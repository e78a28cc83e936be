"""The store is away while a job ends: its result is kept, stored once the store is back, and never called missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer as HttpAnswer
from tests.support.http_server import HttpServer
from tests.support.rest_server import RestServer, eventually, inline
from tests.support.s3_outage import FAULTS, error
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server
from tests.support.short_pauses import BUCKET_AWAY, short_pauses

RESULTS = "postprocessed_output"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short clip, as base64."""
    return inline(make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=10)))


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    """The server's bucket."""
    return s3.make_bucket()


@pytest.fixture(scope="module")
def server(s3: S3Server, proxy: Proxy, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server with a worker, whose store is the bucket behind the proxy."""
    server = RestServer(tmp_path_factory.mktemp("server"), storage=f"s3://{bucket}/x")
    server.environment |= {
        "BUCKET_ENDPOINT_URL": proxy.endpoint_url,
        "BUCKET_ACCESS_KEY_ID": s3.access_key,
        "BUCKET_SECRET_ACCESS_KEY": s3.secret_key,
    }
    server.environment |= short_pauses(server.folder, BUCKET_AWAY)
    with server:
        yield server


@pytest.fixture(autouse=True)
def healthy(proxy: Proxy) -> Iterator[None]:
    """Every test begins and ends with a store that works."""
    yield
    proxy.before = lambda _request: None


def results(s3: S3Server, bucket: str) -> list[str]:
    """The finished files in the bucket."""
    listed = s3.client.list_objects_v2(Bucket=bucket, Prefix=f"x/{RESULTS}").get("Contents", [])
    return [each["Key"] for each in listed]


@pytest.mark.parametrize("fault", ["503", "reset", "page 200"])
def test_a_finished_video_waits_for_the_store_and_is_stored_once(
    server: RestServer, proxy: Proxy, s3: S3Server, bucket: str, clip: str, fault: str
) -> None:
    """A watcher sees what the job waits for; when the store is back, the job completes with one output."""
    before = results(s3, bucket)

    def away(request: Request) -> bool | Answer | None:
        return FAULTS[fault](request) if RESULTS in request.path else None

    proxy.before = away
    job = server.start_job("/postprocess/loop", {"video_base64": clip})
    assert eventually(lambda: (server.job(job).get("progress") or {}).get("waiting_for") == "the store")
    assert server.job(job)["state"] == "running"
    proxy.before = lambda _request: None
    ended = server.wait_for(job)
    assert ended["state"] == "completed"
    assert "waiting_for" not in (ended.get("progress") or {})
    new = [name for name in results(s3, bucket) if name not in before]
    assert len(new) == 1
    assert server.get(ended["result"]["output_path"]).status_code == 200


def test_a_job_that_waits_for_the_store_can_be_cancelled(
    server: RestServer, proxy: Proxy, s3: S3Server, bucket: str, clip: str
) -> None:
    """It ends as cancelled, without killing the worker and without a result."""
    before, worker = results(s3, bucket), server.worker
    proxy.before = lambda request: FAULTS["503"](request) if RESULTS in request.path else None
    job = server.start_job("/postprocess/loop", {"video_base64": clip})
    assert eventually(lambda: (server.job(job).get("progress") or {}).get("waiting_for") == "the store")
    assert server.delete(f"/jobs/{job}").json()["state"] == "cancelled"
    proxy.before = lambda _request: None
    assert server.worker == worker
    assert results(s3, bucket) == before


@pytest.mark.parametrize("is_all_away", [False, True], ids=["outbox", "store"])
def test_a_job_with_a_callback_that_waits_for_the_store_can_be_cancelled(
    server: RestServer, proxy: Proxy, clip: str, *, is_all_away: bool
) -> None:
    """It ends as cancelled without killing the worker, and once the store is back, the receiver hears that, once."""
    worker = server.worker
    with HttpServer({"/done": HttpAnswer(200)}) as receiver:
        fields = {"video_base64": clip, "callback_url": f"{receiver.url}/done"}
        seen: list[Request] = []

        def away(request: Request) -> bool | Answer | None:
            if request.method == "PUT" and "outbox/pending" in request.path:
                seen.append(request)
            is_away = seen and (is_all_away or "outbox/pending" in request.path)
            return FAULTS["503"](request) if is_away else None

        proxy.before = away
        job = server.post("/postprocess/loop", fields).json()["job_id"]
        assert eventually(lambda: seen)
        assert eventually(lambda: (server.job(job).get("progress") or {}).get("waiting_for") == "the store")
        assert server.delete(f"/jobs/{job}").json()["state"] == "cancelled"
        assert server.worker == worker
        proxy.before = lambda _request: None
        assert eventually(lambda: receiver.requests, 90)
        assert eventually(lambda: server.job(job)["callback"]["state"] == "delivered")
        [told] = [json.loads(request.body) for request in receiver.requests]
        assert (told["job_id"], told["success"], told["code"]) == (job, False, "cancelled")


def test_extracted_frames_wait_for_the_store(server: RestServer, proxy: Proxy, clip: str) -> None:
    """A folder of many objects is complete after an outage in its middle."""
    frames: list[Request] = []

    def away(request: Request) -> bool | Answer | None:
        if request.method == "PUT" and "extracted_frames" in request.path:
            frames.append(request)
        return FAULTS["reset"](request) if 3 < len(frames) < 60 and RESULTS in request.path else None

    proxy.before = away
    answer = server.post("/frames/extract", {"video_base64": clip}).json()
    assert answer["frame_count"] == 10, answer
    listed = server.get(f"/frames/{answer['folder_name']}").json()
    assert len({frame["filename"] for frame in listed["frames"]}) == 10


def test_a_refusal_of_the_store_ends_the_job_at_once(server: RestServer, proxy: Proxy, clip: str) -> None:
    """Waiting would not help."""

    def deny(request: Request) -> bool | Answer | None:
        return error(403, "AccessDenied")(request) if RESULTS in request.path else None

    proxy.before = deny
    answer = server.post("/postprocess/loop", {"video_base64": clip})
    assert (answer.status_code, answer.json()["code"]) == (502, "storage_failed")
    assert "AccessDenied" in answer.json()["detail"]


def test_a_known_result_is_never_called_missing(server: RestServer, proxy: Proxy, clip: str) -> None:
    """While the end of a job cannot be stored, its result is shown from memory."""

    def away(request: Request) -> bool | Answer | None:
        return FAULTS["503"](request) if "job_results" in request.path else None

    proxy.before = away
    job = server.start_job("/postprocess/loop", {"video_base64": clip})
    ended = server.wait_for(job)
    assert ended["state"] == "completed"
    assert ended["result"]["success"] is True
    assert "output_path" in ended["result"]


@pytest.mark.parametrize("fault", ["page 404", pytest.param("reset", marks=pytest.mark.slow)])
def test_reads_of_a_store_that_is_away_say_so(server: RestServer, proxy: Proxy, clip: str, fault: str) -> None:
    """503 with a time to come back; neither an empty list nor 'does not exist' nor a default."""
    folder = server.post("/frames/extract", {"video_base64": clip}).json()["folder_name"]
    job = server.start_job("/postprocess/loop", {"video_base64": clip})
    path = server.wait_for(job)["result"]["output_path"]
    paths = (
        f"/jobs/{'0' * 32}",
        path,
        f"/outputs/{RESULTS}/frames/contact_sheets/{folder}.jpg",
        "/jobs",
        "/frames/folders",
        f"/frames/{folder}",
        f"/frames/{folder}/frame_000001.png",
        "/workflow/presets",
        "/filters/presets",
        "/postprocess/autosave",
    )
    for each in paths[1:]:
        assert server.get(each, allow_redirects=False).status_code < 400, each
    proxy.before = FAULTS[fault]
    with ThreadPoolExecutor(len(paths)) as pool:
        for answer in pool.map(lambda each: server.get(each, allow_redirects=False), paths):
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable"), answer.url
            assert answer.headers["Retry-After"] == "30"

"""Jobs at RunPod: the SDK's own client here, the SDK's own worker loop there, and a platform on loopback between."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.support.client_side import Platform, before, working
from tests.support.clips import Pixels, Spec, make_clip
from tests.support.control_plane import Worker
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import RestServer, eventually, inline, tiny_weights
from tests.support.s3_server import s3_server

UPSCALE = "/postprocess/upscale"
FAST: dict[str, Any] = {"model": "tiny", "scale_factor": 2.0}
SLOW: dict[str, Any] = {"model": "RealESRGAN_x4plus", "scale_factor": 4.0}


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """RunPod."""
    with Platform() as platform:
        yield platform


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where server and worker keep everything, as if it were a network volume."""
    folder = tmp_path_factory.mktemp("runpod")
    tiny_weights(folder / "weights")
    return folder


@pytest.fixture(scope="module")
def server(platform: Platform, folder: Path) -> Iterator[RestServer]:
    """A REST server in front of the platform."""
    with before(platform, folder) as server:
        yield server


@pytest.fixture(scope="module")
def worker(platform: Platform, folder: Path, server: RestServer) -> Iterator[Worker]:
    """A worker of the endpoint."""
    with working(platform, folder, server) as worker:
        yield worker


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short clip, as base64."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, Spec(count=6))
    return inline(path)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that the quick network needs seconds for."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    make_clip(path, Spec(count=400))
    return inline(path)


@pytest.fixture(scope="module")
def slow_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that a large network needs a moment for each frame of, also on a busy machine, and minutes for all."""
    path = tmp_path_factory.mktemp("clip") / "slow.mp4"
    make_clip(path, Spec(size=(32, 32), count=600))
    return inline(path)


def noise(index: int, width: int, height: int) -> Pixels:
    """A frame that no encoder can make small."""
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


def the_only_new_job(platform: Platform, known: set[str]) -> str:
    """The id at the platform of the one job that was sent since."""
    (new,) = set(platform.records) - known
    return new


def test_a_request_is_answered_with_the_result_of_the_runpod_worker(
    server: RestServer, worker: Worker, clip: str
) -> None:
    """Its output can be downloaded."""
    answer = server.post(UPSCALE, {**FAST, "video_base64": clip})

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["message"] == "Video upscaled successfully"
    fetched = requests.get(body["output_url"], timeout=30).content
    assert fetched == base64.b64decode(body["output_video_base64"])


def test_the_worker_reads_an_upload_from_the_shared_store(
    server: RestServer, worker: Worker, clip: str, platform: Platform
) -> None:
    """The request names the upload by its path."""
    files = {"file": ("My clip.mp4", base64.b64decode(clip))}
    reference = server.ask("POST", "/uploads", files=files).json()["video_url"]

    answer = server.post(UPSCALE, {**FAST, "video_url": reference})

    assert answer.status_code == 200, answer.text
    assert answer.json()["output_filename"].startswith("My clip_upscaled_")


def test_a_running_job_shows_the_progress_of_the_worker(server: RestServer, worker: Worker, long_clip: str) -> None:
    """The job's progress has frames done and in total."""
    job_id = server.start_job(UPSCALE, {**FAST, "video_base64": long_clip})

    seen: list[int] = []

    def moved() -> bool:
        view = server.job(job_id)
        if view["state"] == "running" and "progress" in view:
            assert view["progress"]["frames_total"] == 400
            seen.append(view["progress"]["frames_done"])
        return bool(view["state"] == "completed")

    assert eventually(moved, 120)
    assert seen
    assert seen == sorted(seen)
    assert server.job(job_id)["result"]["success"] is True


def test_a_cancelled_job_stops_on_the_platform_and_frees_the_worker(
    platform: Platform, server: RestServer, worker: Worker, slow_clip: str, clip: str
) -> None:
    """The worker stops in the middle of the job, reports that once, and runs the next one."""
    known = set(platform.records)
    with HttpServer({"/done": Answer(200)}) as receiver:
        asked = {**SLOW, "video_base64": slow_clip, "callback_url": f"{receiver.url}/done"}
        job_id = server.post(UPSCALE, asked).json()["job_id"]
        assert eventually(lambda: server.job(job_id).get("progress"), 90)
        remote = the_only_new_job(platform, known)

        cancelled = server.delete(f"/jobs/{job_id}")

        assert cancelled.json()["state"] == "cancelled"
        assert platform.state(platform.records[remote]) == "CANCELLED"
        assert eventually(lambda: "stopping" in worker.log)
        assert server.post(UPSCALE, {**FAST, "video_base64": clip}).status_code == 200
        assert eventually(lambda: worker.leftovers() == [])
        assert eventually(lambda: not list(server.outputs.rglob(f"job_inputs/{job_id}.json")))
        [told] = {request.headers["webhook-id"]: json.loads(request.body) for request in receiver.requests}.values()
        assert (told["code"], told["job_id"]) == ("cancelled", remote)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"video_base64": base64.b64encode(b"no video at all").decode()}, 400, "invalid_media"),
        ({"video_url": "/outputs/gone.mp4"}, 404, "not_found"),
        ({"video_url": "https://127.0.0.2/x.mp4"}, 400, "source_not_allowed"),
        ({"video_url": "http://127.0.0.1:9/x.mp4"}, 502, "source_failed"),
    ],
)
def test_an_error_of_the_worker_keeps_sentence_status_and_code(
    server: RestServer, worker: Worker, fields: dict[str, Any], status: int, code: str
) -> None:
    """The client gets the same error as from a local worker."""
    answer = server.post(UPSCALE, {**FAST, **fields})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"].endswith(".")


def test_a_job_with_a_callback_url_is_reported_once_by_the_worker(
    server: RestServer, worker: Worker, clip: str
) -> None:
    """The response is immediate."""
    with HttpServer({"/done": Answer(200)}) as receiver:
        asked = {**FAST, "video_base64": clip, "callback_url": f"{receiver.url}/done"}
        answer = server.post(UPSCALE, asked).json()
        assert answer["processing"] is True
        assert server.wait_for(answer["job_id"])["state"] == "completed"
        time.sleep(1)

        assert len(receiver.requests) == 1
        told = json.loads(receiver.requests[0].body)
        assert (told["operation"], told["success"]) == ("upscale", True)
        assert requests.get(told["output_url"], timeout=30).status_code == 200


def test_operations_on_the_store_send_no_job_to_the_platform(platform: Platform, server: RestServer) -> None:
    """They do not start a worker with a GPU."""
    before = len(platform.calls)
    asked = [
        server.get("/filters/presets"),
        server.get("/workflow/presets"),
        server.post("/workflow/presets", {"name": "mine", "preset_data": {"operations": [{"type": "loop"}]}}),
        server.delete("/workflow/presets/mine"),
        server.get("/frames/folders"),
        server.get("/frames/none"),
        server.get("/postprocess/autosave"),
        server.post("/postprocess/autosave", {"enabled": False}),
        server.get("/jobs"),
        server.get("/health"),
    ]

    assert {answer.status_code for answer in asked} <= {200, 400, 404}
    assert sum(answer.status_code == 200 for answer in asked) >= 7
    assert len(platform.calls) == before


def test_an_unreachable_platform_only_delays_a_job(
    platform: Platform, server: RestServer, worker: Worker, clip: str
) -> None:
    """This holds for refused connections and error responses, both when a job is sent and while it runs."""
    known = set(platform.records)
    with platform.away():
        sent = server.start_job(UPSCALE, {**FAST, "video_base64": clip})
        assert eventually(lambda: server.job(sent).get("waiting_for") == "RunPod could not be reached.")
        assert server.job(sent)["state"] == "queued"
        assert set(platform.records) == known
    assert server.wait_for(sent)["state"] == "completed"

    assert eventually(lambda: server.answers({200}))
    followed = server.start_job(UPSCALE, {**FAST, "video_base64": clip})
    assert eventually(lambda: len(set(platform.records) - known) == 2)
    turned_away = platform.turned_away
    platform.ill = 502
    assert eventually(lambda: platform.turned_away >= turned_away + 5)
    assert server.job(followed)["state"] == "running"
    platform.ill = None
    assert server.wait_for(followed)["state"] == "completed"
    assert len(set(platform.records) - known) == 2


def test_an_inline_file_over_the_platform_limit_is_refused_without_a_bucket(
    platform: Platform, server: RestServer, tmp_path: Path
) -> None:
    """The message suggests using a URL."""
    before = platform.count("run")

    answer = server.post(UPSCALE, {**FAST, "video_base64": base64.b64encode(bytes(8_000_000)).decode()})

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "use a URL" in answer.json()["detail"]
    assert platform.count("run") == before


def test_an_inline_file_over_the_platform_limit_is_passed_through_the_bucket(tmp_path: Path) -> None:
    """The worker gets a URL of the bucket instead."""
    path = tmp_path / "large.mp4"
    make_clip(path, Spec(size=(640, 480), count=20, frame=noise, options={"crf": "1"}))
    assert path.stat().st_size > 8_000_000
    tiny_weights(tmp_path / "weights")
    with s3_server(tmp_path) as s3, Platform() as platform:
        server = before(platform, tmp_path, storage=f"s3://{s3.make_bucket()}/deep", inline_limit_mb="0")
        server.environment |= {
            "BUCKET_ENDPOINT_URL": s3.endpoint_url,
            "BUCKET_ACCESS_KEY_ID": s3.access_key,
            "BUCKET_SECRET_ACCESS_KEY": s3.secret_key,
        }
        with server:
            asked = {"num_loops": 1, "video_base64": inline(path)}
            with working(platform, tmp_path, server, FRAMEPACK_STORAGE=server.environment["FRAMEPACK_STORAGE"]):
                answer = server.post("/postprocess/loop", asked)

            assert answer.status_code == 200, answer.text
            (given,) = platform.inputs.values()
            assert "video_base64" not in given
            assert given["video_url"].startswith(s3.endpoint_url)
            assert requests.get(answer.json()["output_url"], timeout=30).status_code == 200

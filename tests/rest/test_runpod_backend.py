"""Jobs at RunPod: the SDK's own client here, the SDK's own worker loop there, and a platform on loopback between."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.support.clips import Picture, Spec, make_clip
from tests.support.control_plane import Record, Worker
from tests.support.http_server import Answer, HttpServer
from tests.support.platform import Platform
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
    """A clip that the quick network needs seconds for, and a large one minutes."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    make_clip(path, Spec(count=400))
    return inline(path)


def noise(index: int, width: int, height: int) -> Picture:
    """A picture that no encoder can make small."""
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


def before(platform: Platform, folder: Path, **settings: str) -> RestServer:
    """A server that sends its jobs to the platform."""
    server = RestServer(folder, **settings)
    server.environment |= platform.client_environment()
    return server


def working(platform: Platform, folder: Path, server: RestServer, **environment: str) -> Worker:
    """A worker with the server's store and settings."""
    (folder / "worker").mkdir(exist_ok=True)
    shared = {
        name: value
        for name, value in server.environment.items()
        if name.startswith(("FRAMEPACK_", "BUCKET_", "OMP_")) and name != "FRAMEPACK_TEMP_DIR"
    }
    public = {"FRAMEPACK_PUBLIC_URL": server.url}
    return Worker(platform, folder / "worker", **{**shared, **public, **environment})


def the_only_new_job(platform: Platform, known: set[str]) -> str:
    """The id at the platform of the one job that was sent since."""
    (new,) = set(platform.records) - known
    return new


def test_a_result_comes_back(server: RestServer, worker: Worker, clip: str) -> None:
    """A request is answered with the worker's result, and the result can be fetched."""
    answer = server.post(UPSCALE, {**FAST, "video_base64": clip})

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["message"] == "Video upscaled successfully"
    fetched = requests.get(body["output_url"], timeout=30).content
    assert fetched == base64.b64decode(body["output_video_base64"])


def test_an_upload_reaches_the_worker(server: RestServer, worker: Worker, clip: str, platform: Platform) -> None:
    """An upload is named by its path, and the worker finds it in the store they share."""
    files = {"file": ("My clip.mp4", base64.b64decode(clip))}
    reference = server.ask("POST", "/uploads", files=files).json()["video_url"]

    answer = server.post(UPSCALE, {**FAST, "video_url": reference})

    assert answer.status_code == 200, answer.text
    assert answer.json()["output_filename"].startswith("My clip_upscaled_")


def test_progress_passes_through(server: RestServer, worker: Worker, long_clip: str) -> None:
    """While the worker works, the job tells how far it is."""
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


def test_cancelling_stops_the_worker(
    platform: Platform, server: RestServer, worker: Worker, long_clip: str, clip: str
) -> None:
    """A cancelled job stops at the platform, mid-way, and the next one runs at once."""
    known = set(platform.records)
    job_id = server.start_job(UPSCALE, {**SLOW, "video_base64": long_clip})
    assert eventually(lambda: server.job(job_id).get("progress"), 90)

    cancelled = server.delete(f"/jobs/{job_id}")

    assert cancelled.json()["state"] == "cancelled"
    assert platform.state(platform.records[the_only_new_job(platform, known)]) == "CANCELLED"
    assert eventually(lambda: "stopping" in worker.log)
    assert server.post(UPSCALE, {**FAST, "video_base64": clip}).status_code == 200
    assert eventually(lambda: worker.leftovers() == [])


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"video_base64": base64.b64encode(b"no video at all").decode()}, 400, "invalid_media"),
        ({"video_url": "/outputs/gone.mp4"}, 404, "not_found"),
        ({"video_url": "https://127.0.0.2/x.mp4"}, 400, "source_not_allowed"),
        ({"video_url": "http://127.0.0.1:9/x.mp4"}, 502, "source_failed"),
    ],
)
def test_errors_pass_through(
    server: RestServer, worker: Worker, fields: dict[str, Any], status: int, code: str
) -> None:
    """What the worker says is wrong keeps its sentence, its status and its code."""
    answer = server.post(UPSCALE, {**FAST, **fields})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"].endswith(".")


def test_the_worker_calls_back_once(server: RestServer, worker: Worker, clip: str) -> None:
    """With a callback address the answer is immediate, and the receiver hears of the end once."""
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


def test_the_store_is_answered_without_the_platform(platform: Platform, server: RestServer) -> None:
    """What needs only the store wakes no GPU."""
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


def test_a_platform_that_is_away_is_waited_for(
    platform: Platform, server: RestServer, worker: Worker, clip: str
) -> None:
    """Refused connections and bad answers, when a job is sent and while it is followed, only delay it."""
    known = set(platform.records)
    with platform.away():
        sent = server.start_job(UPSCALE, {**FAST, "video_base64": clip})
        time.sleep(2)
        assert server.job(sent)["state"] == "running"
        assert set(platform.records) == known
    assert server.wait_for(sent)["state"] == "completed"

    followed = server.start_job(UPSCALE, {**FAST, "video_base64": clip})
    assert eventually(lambda: len(set(platform.records) - known) == 2)
    platform.ill = 502
    time.sleep(3)
    assert server.job(followed)["state"] == "running"
    platform.ill = None
    assert server.wait_for(followed)["state"] == "completed"
    assert len(set(platform.records) - known) == 2


def test_a_large_inline_file_is_refused_without_a_bucket(
    platform: Platform, server: RestServer, tmp_path: Path
) -> None:
    """What the platform cannot carry, and no store can hand over, is refused in a sentence."""
    before = platform.count("run")

    answer = server.post(UPSCALE, {**FAST, "video_base64": base64.b64encode(bytes(8_000_000)).decode()})

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "address" in answer.json()["detail"]
    assert platform.count("run") == before


# Without a worker, the test plays it.


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, RestServer]]:
    """A platform without workers, and a server before it."""
    with Platform() as platform, before(platform, tmp_path_factory.mktemp("alone")) as server:
        yield platform, server


def arrived(platform: Platform, known: set[str]) -> Record:
    """The one job that was sent since, once it is there."""
    assert eventually(lambda: set(platform.records) - known)
    return platform.records[the_only_new_job(platform, known)]


def sent(platform: Platform, server: RestServer, **fields: Any) -> tuple[str, Record]:
    """Start a job; return its id here and what the platform knows of it."""
    known = set(platform.records)
    answer = server.post(
        UPSCALE, {"video_url": "https://example.com/v.mp4", **fields}, headers={"Prefer": "respond-async"}
    )
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()["job_id"], arrived(platform, known)


def test_a_job_that_the_platform_forgot_is_sent_once_more(alone: tuple[Platform, RestServer]) -> None:
    """An unknown job is sent again, once; then it has failed."""
    platform, server = alone
    job_id, first = sent(platform, server)
    known = set(platform.records)
    platform.forget(first)
    second = arrived(platform, known)
    assert platform.inputs[second.id] == platform.inputs[first.id]
    platform.forget(second)

    ended = server.wait_for(job_id)

    assert (ended["state"], ended["result"]["code"]) == ("failed", "unavailable")
    assert set(platform.records) == known | {second.id}


def test_a_new_server_follows_the_same_job(alone: tuple[Platform, RestServer]) -> None:
    """Neither a server that is killed nor one that stops sends a job twice or cancels it."""
    platform, server = alone
    job_id, remote = sent(platform, server)
    runs, cancels = platform.count("run"), platform.count("cancel")
    assert eventually(lambda: ("status", remote.id) in platform.calls)
    for end in (server.kill, server.stop):
        end()
        calls = len(platform.calls)
        server.start()
        assert eventually(partial(was_asked, platform, remote, calls))
        assert server.job(job_id)["state"] == "running"
    platform.end(remote, output={"success": True, "message": "done"})

    ended = server.wait_for(job_id)

    assert (ended["state"], ended["result"]["message"]) == ("completed", "done")
    assert (platform.count("run"), platform.count("cancel")) == (runs, cancels)


def was_asked(platform: Platform, record: Record, since: int) -> bool:
    """Whether somebody looked at a job after the first ``since`` calls."""
    return ("status", record.id) in platform.calls[since:]


CRASHES = [
    json.dumps({"error_type": "KeyError", "error_traceback": "File /app/handler.py", "hostname": "pod-1"}),
    "Traceback (most recent call last):\n  File /app",
    None,
]


@pytest.mark.parametrize("error", CRASHES, ids=["report", "traceback", "nothing"])
def test_what_a_dying_worker_says_stays_here(alone: tuple[Platform, RestServer], error: str | None) -> None:
    """The SDK's own report of a crash has paths and names of hosts: the client gets a sentence, and its callback."""
    platform, server = alone
    sentence = "The worker ended without an answer."
    with HttpServer({"/done": Answer(200)}) as receiver:
        job_id, remote = sent(platform, server, callback_url=f"{receiver.url}/done")
        platform.end(remote, error=error)

        ended = server.wait_for(job_id)

        assert ended["state"] == "failed"
        assert ended["result"] == {"error": sentence, "code": "source_failed", "status": 502}
        assert eventually(lambda: receiver.requests)
        assert json.loads(receiver.requests[0].body)["error"] == sentence


ENDS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"output": {"success": True, "message": "x"}}, "completed", None),
    ({"output": None}, "failed", "source_failed"),
    ({"error": "No room.", "output": {"code": "disk_full", "status": 507}}, "failed", "disk_full"),
    ({"error": "worker exited with exit code 137"}, "failed", "source_failed"),
    ({"status": "TIMED_OUT"}, "cancelled", "cancelled"),
    ({"status": "CANCELLED"}, "cancelled", "cancelled"),
]


@pytest.mark.parametrize(("result", "state", "code"), ENDS)
def test_every_end_is_understood(
    alone: tuple[Platform, RestServer], result: dict[str, Any], state: str, code: str | None
) -> None:
    """Whatever the platform calls the end of a job, the job ends here too."""
    platform, server = alone
    job_id, remote = sent(platform, server)
    platform.end(remote, **result)

    ended = server.wait_for(job_id)

    assert (ended["state"], ended["result"].get("code")) == (state, code)


def test_a_job_that_waits_at_the_platform_is_taken_back(alone: tuple[Platform, RestServer]) -> None:
    """A cancelled job that no worker has begun leaves the platform's queue, and its receiver hears of it."""
    platform, server = alone
    with HttpServer({"/done": Answer(200)}) as receiver:
        job_id, remote = sent(platform, server, callback_url=f"{receiver.url}/done")
        assert eventually(lambda: ("status", remote.id) in platform.calls)

        assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"

        assert platform.state(remote) == "CANCELLED"
        assert remote.id not in {job["id"] for job in platform._jobs}
        assert eventually(lambda: len(receiver.requests) == 1)


def test_a_wrong_account_is_said(tmp_path: Path) -> None:
    """A key or an endpoint that RunPod does not know is the deployment's mistake, and is said so."""
    with Platform() as platform:
        server = before(platform, tmp_path)
        server.environment["RUNPOD_API_KEY"] = "rpa_wrong"
        with server:
            answer = server.post(UPSCALE, {"video_url": "https://e.com/v.mp4"})
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert "API key" in answer.json()["detail"]
            assert "rpa_" not in answer.text + server.log
        server.environment |= {**platform.client_environment(), "FRAMEPACK_RUNPOD_ENDPOINT_ID": "other"}
        with server:
            answer = server.post(UPSCALE, {"video_url": "https://e.com/v.mp4"})
            assert (answer.status_code, answer.json()["detail"]) == (503, "RunPod has no such endpoint.")


def test_without_an_endpoint_nothing_starts(tmp_path: Path) -> None:
    """Half a configuration is refused at start, in a sentence."""
    import subprocess
    import sys

    from tests.support.control_plane import ROOT

    server = RestServer(tmp_path, backend="runpod")
    command = [sys.executable, "-m", "framepack", "serve", "--port", "0"]

    ended = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert b"FRAMEPACK_RUNPOD_ENDPOINT_ID" in ended.stderr


def test_a_large_inline_file_goes_through_the_bucket(tmp_path: Path) -> None:
    """With a bucket, a video too large for the platform arrives there, and its address goes on."""
    path = tmp_path / "large.mp4"
    make_clip(path, Spec(size=(640, 480), count=20, picture=noise, options={"crf": "1"}))
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

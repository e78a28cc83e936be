"""The worker process: killed, stuck, noisy, broken, orphaned; the web side goes on."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from framepack.job import Job
from framepack.jobs.backends.base import WorkerLost
from framepack.jobs.backends.local import LocalBackend, _send
from framepack.jobs.backends.worker_process import ProgressThrottle, WorkerProcess
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import (
    LocalServer,
    RestServer,
    eventually,
    inline,
    server_in_thread,
)
from tests.support.runs import bench
from tests.support.short_pauses import short_pauses

UPSCALE = "/postprocess/upscale"
FAST = {"model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}
SLOW = {"model": "RealESRGAN_x4plus", "scale_factor": 4.0}
LOOP = "/postprocess/loop"
CLIP = {"video_base64": "AAAA"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that the quick network needs a moment for, and a large one minutes, as base64."""
    return inline(make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=40)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A real server with a real worker, whose jobs wait only a moment for their next attempt."""
    running = RestServer(tmp_path_factory.mktemp("server"))
    running.environment |= short_pauses(running.folder)
    with running:
        yield running


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    """A webhook receiver."""
    with HttpServer(lambda _received: Answer(200)) as running:
        yield running


def kill_worker(server: RestServer, job_id: str) -> int:
    """Kill the worker while it computes a job; return its process id."""
    assert eventually(lambda: "progress" in server.job(job_id) or "ended" in server.job(job_id))
    assert server.job(job_id)["state"] == "running"
    worker = server.worker
    assert worker is not None
    worker.kill()
    return int(worker.pid)


def test_only_the_worker_process_loads_torch(server: RestServer, clip: str) -> None:
    """The server process does not load torch, even after a job with progress has ended."""
    answer = server.post(UPSCALE, {**FAST, "video_base64": clip})
    assert answer.status_code == 200, answer.text
    seen = server.job(answer.headers["X-Job-Id"])
    assert (seen["progress"]["frames_done"], seen["progress"]["frames_total"]) == (40, 40)
    worker = server.worker
    assert worker is not None
    assert "libtorch" in Path(f"/proc/{worker.pid}/maps").read_text()
    assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()
    assert server.get("/health").json()["device"]["device"] in {"cpu", "cuda:0"}
    assert "Networks run on " in server.log


def test_the_web_process_answers_while_the_worker_computes(server: RestServer, clip: str) -> None:
    """Health, lists and queries do not wait for the running job. Cancelling the job does not end the worker."""
    job_id = server.start_job(UPSCALE, {**SLOW, "video_base64": clip})
    assert eventually(lambda: "progress" in server.job(job_id))
    assert server.get("/health").json()["jobs_running"] == 1
    assert server.get("/postprocess/models").json()["models"]["RealESRGAN_x4plus"]["scale"] == 4
    assert server.get("/filters/presets").status_code == 200
    assert server.get("/model/status").json()["model_loaded"] is False
    assert server.get("/ai/status").status_code == 200
    assert server.post("/ai/unload", {"model": "all"}).json()["models_unloaded"] == []
    assert server.job(job_id)["state"] == "running"
    worker = server.worker
    assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert server.post(UPSCALE, {**FAST, "video_base64": clip}).status_code == 200
    assert server.worker == worker, "the worker itself goes on"


def restarts(server: RestServer) -> float:
    """How often the worker was replaced, as /metrics says."""
    [value] = re.findall(r'\nframepack_worker_restarts_total\{lane="worker"\} (.+)', server.get("/metrics").text)
    return float(value)


def test_a_job_whose_worker_is_killed_runs_again_in_a_new_worker(
    server: RestServer, clip: str, receiver: HttpServer
) -> None:
    """The worker is replaced, the job starts again from its beginning, and one callback is sent."""
    body, before = {**SLOW, "video_base64": clip, "callback_url": f"{receiver.url}/hook"}, restarts(server)
    job_id = server.post(UPSCALE, body).json()["job_id"]
    killed = kill_worker(server, job_id)
    assert eventually(lambda: (worker := server.worker) is not None and worker.pid != killed)
    assert eventually(lambda: "progress" in server.job(job_id))
    assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert eventually(lambda: not list((server.outputs / "state" / "job_inputs").glob("*")))
    assert eventually(lambda: server.job(job_id)["callback"]["state"] == "delivered")
    [request] = receiver.requests
    assert request.headers["webhook-id"].startswith(f"msg_{job_id}_")
    assert restarts(server) == before + 1


def test_a_job_whose_worker_is_killed_three_times_fails_with_503(
    server: RestServer, clip: str, receiver: HttpServer
) -> None:
    """It is run three times, then fails with 503. Its callback is sent, and the next job succeeds."""
    body = {**SLOW, "video_base64": clip, "callback_url": f"{receiver.url}/hook"}
    job_id = server.post(UPSCALE, body).json()["job_id"]
    killed = set()
    for _ in range(3):
        assert eventually(lambda: server.job(job_id)["state"] == "running")
        killed.add(kill_worker(server, job_id))
        assert eventually(lambda: "progress" not in server.job(job_id) or "ended" in server.job(job_id))
    assert len(killed) == 3
    ended = server.wait_for(job_id)
    assert (ended["state"], ended["result"]["code"], ended["result"]["status"]) == ("failed", "unavailable", 503)
    assert eventually(lambda: receiver.requests)
    assert b'"success": false' in receiver.requests[0].body
    assert eventually(lambda: server.answers({200}))
    assert server.post(UPSCALE, {**FAST, "video_base64": clip}).status_code == 200
    assert eventually(lambda: not list((server.outputs / "state" / "job_inputs").glob("*")))


def test_the_worker_ends_when_its_server_is_killed(tmp_path: Path, clip: str) -> None:
    """This holds while a job is running. SIGINT and SIGTERM to the worker do not stop its job."""
    with RestServer(tmp_path) as server:
        job_id = server.start_job(UPSCALE, {**SLOW, "video_base64": clip})
        assert eventually(lambda: "progress" in server.job(job_id))
        worker = server.worker
        assert worker is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, number)
        frames = server.job(job_id)["progress"]["frames_done"]
        assert eventually(lambda: server.job(job_id)["progress"]["frames_done"] > frames)
        server.kill()
        assert eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 20)


def test_a_worker_that_cannot_start_makes_the_server_refuse_jobs_with_503(tmp_path: Path) -> None:
    """New jobs are refused with the reason. Operations that need no worker still work."""
    server = RestServer(tmp_path, generator="no_such_module:make")
    server.start(ready=False)
    try:
        assert eventually(lambda: server.answers({503}))
        health = server.get("/health").json()
        assert health["worker"] == "broken"
        assert "no_such_module" in health["problem"]
        assert health["device"] is None
        for path, body in ((LOOP, CLIP), ("/model/unload", None)):
            answer = server.post(path, body)
            assert answer.status_code == 503
            assert "The worker could not be started" in answer.json()["detail"] or "no_such_module" in answer.text
            assert "Retry-After" in answer.headers
        assert server.get("/filters/presets").status_code == 200
        assert "no_such_module" in server.log
    finally:
        server.stop()


def test_output_of_libraries_on_stdout_goes_to_the_log(tmp_path: Path) -> None:
    """This is output of Python, of C and of child processes."""
    (tmp_path / "noisy.py").write_text(
        textwrap.dedent("""
            import os, subprocess, sys
            def make(device):
                print('{"id": "printed"}')
                sys.stdout.flush()
                os.write(1, b"written\\n")
                subprocess.run(["echo", "echoed"])
                return object()
        """)
    )
    server = RestServer(tmp_path, generator="noisy:make")
    server.environment["PYTHONPATH"] = str(tmp_path)
    with server:
        assert server.get("/model/status").json()["model_loaded"] is True
    assert all(word in server.log for word in ("printed", "written", "echoed"))


def test_an_answer_over_the_line_limit_loses_only_its_inline_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file can be downloaded. RunPod's limits do not apply."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=10))
    told = io.BytesIO()
    worker = WorkerProcess(bench(tmp_path, public_url="https://a.example", inline_limit_mb=40).runtime, told)
    message = {"id": "1", "operation": "loop", "fields": {"video_base64": inline(source)}}
    worker._run(message, worker._jobs.setdefault("1", Job("1")), ProgressThrottle(lambda _progress: None))
    monkeypatch.setattr("framepack.jobs.backends.worker_process.LARGEST_ANSWER_BYTES", 2000)
    worker._run(message, worker._jobs.setdefault("1", Job("1")), ProgressThrottle(lambda _progress: None))

    whole, light = [answer for line in told.getvalue().splitlines() if (answer := json.loads(line).get("answer"))]
    assert light.keys() == whole.keys() - {"output_video_base64"}
    assert light["output_url"].startswith("https://a.example/outputs/")


FAKE = """
import json, os, sys, time

def say(**message):
    print(json.dumps(message), flush=True)

lives = sys.argv[1]
open(lives, "a").write("x")
if os.path.getsize(lives) <= int(sys.argv[2]):
    sys.exit(3)
print("no message", flush=True)
say(ready=True, statistics={"model_loads": 7})
for line in sys.stdin:
    message = json.loads(line)
    if message.get("operation") == "loop":
        say(id=message["id"], progress={"frames_done": 1})
    elif message.get("operation") == "export":
        say(id=message["id"], answer={"success": True, "output_video_base64": "A" * 30_000_000})
"""


def fake_worker(folder: Path, early_ends: int = 0) -> LocalBackend:
    """A backend whose worker hangs in loops, gives huge exports, and dies at its first starts."""
    (folder / "fake.py").write_text(FAKE)
    return LocalBackend(
        None, [sys.executable, str(folder / "fake.py"), str(folder / "lives"), str(early_ends)], stop_seconds=0.3
    )


def lives(folder: Path) -> int:
    """How often the worker was started."""
    return (folder / "lives").stat().st_size


def ready(server: LocalServer) -> bool:
    """Whether its worker is."""
    return server.get("/ping").status_code == 200


def test_a_worker_that_does_not_stop_a_cancelled_job_is_killed(tmp_path: Path) -> None:
    """The cancelled job ends, and a new worker runs the next job."""
    with server_in_thread(tmp_path, fake_worker(tmp_path)) as server:
        job_id = server.start_job(LOOP, CLIP)
        assert eventually(lambda: "progress" in server.job(job_id))
        assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
        assert eventually(lambda: ready(server))
        assert server.post("/postprocess/export", CLIP).status_code == 200
        assert lives(tmp_path) == 2


def test_an_answer_with_30_mb_inline_reaches_the_client(tmp_path: Path) -> None:
    """The job's record does not contain the inline video."""
    with server_in_thread(tmp_path, fake_worker(tmp_path)) as server:
        answer = server.post("/postprocess/export", CLIP)
        assert len(answer.json()["output_video_base64"]) == 30_000_000
        assert server.job(answer.headers["X-Job-Id"])["result"] == {"success": True}
        assert b"framepack_worker_model_loads 7.0" in server.get("/metrics").content
    stored = sum(path.stat().st_size for path in (tmp_path / "outputs").rglob("*") if path.is_file())
    assert stored < 10_000


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_message_to_a_worker_that_has_ended_reports_its_loss(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The event loops raise different exceptions."""

    async def send() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "", stdin=asyncio.subprocess.PIPE)
        await process.wait()
        for _ in range(10):
            await _send(process, {"id": "a"})
            await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(WorkerLost):
        runner.run(send())


def test_a_worker_that_dies_while_starting_is_started_again(tmp_path: Path) -> None:
    """A request waits a moment for the next start."""
    with server_in_thread(tmp_path, fake_worker(tmp_path, early_ends=1)) as server:
        assert server.post("/postprocess/export", CLIP).status_code == 200
        assert lives(tmp_path) == 2


def test_a_worker_that_keeps_dying_is_broken_until_a_start_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then, new jobs are refused. The server keeps trying to start the worker."""
    monkeypatch.setattr("framepack.jobs.backends.local._MAX_RESTART_DELAY_SECONDS", 0.1)
    with server_in_thread(tmp_path, fake_worker(tmp_path, early_ends=20)) as server:
        assert eventually(lambda: server.get("/ping").status_code == 503)
        answer = server.post("/postprocess/export", CLIP)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "ends before it is ready" in server.get("/health").json()["problem"]
        assert eventually(lambda: ready(server))
        assert server.post("/postprocess/export", CLIP).status_code == 200


def test_a_stopping_server_ends_its_worker_and_answers_waiting_clients(tmp_path: Path) -> None:
    """The worker process has ended when the server has, and the waiting client gets 503."""
    found: dict[str, Any] = {}
    with ThreadPoolExecutor() as pool:
        with server_in_thread(tmp_path, fake_worker(tmp_path)) as server:
            found["answer"] = pool.submit(server.post, LOOP, CLIP)
            assert eventually(lambda: server.server.jobs.running == 1)
            found["workers"] = [each for each in psutil.Process().children() if "fake.py" in " ".join(each.cmdline())]
        assert found["answer"].result().status_code == 503
    assert len(found["workers"]) == 1
    assert not psutil.pid_exists(found["workers"][0].pid)

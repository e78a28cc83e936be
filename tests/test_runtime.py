"""The whole worker, put together from settings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import save_file
from standardwebhooks import Webhook

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.networks import tiny_compact
from tests.support.runs import bench

ROOT = Path(__file__).parents[1]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

_JOB = """
import sys
from pathlib import Path
from tests.support.runs import bench
b = bench(Path(sys.argv[1]))
b.runtime.models.upscaler_row("tiny")
print("ready", flush=True)
b.run("upscale", Path(sys.argv[2]), model="tiny")
print("done", flush=True)
"""


def test_a_source_is_fetched_and_a_signed_callback_delivered(tmp_path: Path) -> None:
    """The output is named after its source. An independent library verifies the signature."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    source = make_clip(tmp_path / "source.mp4", Spec(count=3))
    with HttpServer({"/my%20clip.mp4": Answer(body=source.read_bytes()), "/cb": Answer()}) as server:
        worker = bench(tmp_path, allowed_hosts=("127.0.0.1",), webhook_secret=SECRET)
        answer = worker.run(
            "upscale", video_url=f"{server.url}/my%20clip.mp4", model="tiny", callback_url=f"{server.url}/cb"
        )
        [received] = [request for request in server.requests if request.path == "/cb"]

    Webhook(SECRET).verify(received.body, {name.lower(): value for name, value in received.headers.items()})
    body = json.loads(received.body)
    assert (body["type"], body["operation"], body["success"]) == ("postprocess", "upscale", True)
    assert body["output_path"] == answer["output_path"]
    assert body["output_base64"] == answer["output_video_base64"]
    assert body["metadata"] == {
        "model": "tiny",
        "scale_factor": 2.0,
        "tile_size": 0,
        "enhance_face": False,
        "denoise_strength": 0.5,
        "use_streaming": False,
    }
    assert answer["output_filename"].startswith("my clip_upscaled_x2_")


def test_a_failure_is_called_back(tmp_path: Path) -> None:
    """The payload is the documented one."""
    with HttpServer({"/a.mp4": Answer(body=b"not a video" * 100), "/cb": Answer()}) as server:
        worker = bench(tmp_path, allowed_hosts=("127.0.0.1",))
        answer = worker.run("upscale", video_url=f"{server.url}/a.mp4", callback_url=f"{server.url}/cb")
        [received] = [request for request in server.requests if request.path == "/cb"]

    body = json.loads(received.body)
    assert body.pop("timestamp")
    assert body == {
        "type": "postprocess",
        "operation": "upscale",
        "job_id": "test",
        "success": False,
        "error": answer["error"],
        "code": "invalid_media",
        "metadata": None,
    }


def test_files_of_a_killed_worker_are_removed_by_the_next_job(tmp_path: Path) -> None:
    """What `kill -9` leaves in the working folder is gone with the next job, and nothing half is in the store."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    source = make_clip(tmp_path / "source.mp4", Spec(size=(192, 144), count=600))
    process = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(tmp_path), str(source)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    worker = bench(tmp_path)
    deadline = time.monotonic() + 60
    while not any(path.endswith("output.mp4") for path in worker.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert worker.leftovers()

    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate()[0]

    assert rest == ""
    assert not list((tmp_path / "outputs").rglob("*.mp4"))
    assert worker.run("upscale", make_clip(tmp_path / "short.mp4", Spec(count=2)), model="tiny")["success"]
    assert worker.leftovers() == []

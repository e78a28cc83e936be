"""Real workers and servers that are killed with `kill -9` around the moment in which a job with a callback ends."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ControlPlane, Worker
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.kill_points import Killer
from tests.support.kill_runs import expire_claims
from tests.support.rest_server import RestServer, eventually, inline

LOOP = "/postprocess/loop"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short clip, as base64."""
    return inline(make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=8)))


@pytest.fixture
def killer(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that dies once after its first write to the outbox: before anybody hears of it."""
    killer = Killer(tmp_path / "killer")
    killer.set("after the outbox")
    return killer.environment


class Receiver(HttpServer):
    """A receiver that holds its first requests until it is told to let go.

    Args:
        held: How many requests it holds.
    """

    def __init__(self, held: int = 0) -> None:
        super().__init__(self._receive)
        self.held = held

    def _receive(self, _received: Received) -> Answer:
        if len(self.requests) <= self.held:
            self.closing.wait(60)
        return Answer(200)

    def heard(self) -> list[tuple[str, bytes]]:
        """Id and body of every request."""
        return [(request.headers["webhook-id"], request.body) for request in self.requests]


def videos(outputs: Path) -> list[Path]:
    """The finished videos in a store."""
    return sorted((outputs / "postprocessed_output").rglob("*.mp4"))


def fields(receiver: HttpServer, clip: str) -> dict[str, Any]:
    """The fields of a job."""
    return {"video_base64": clip, "callback_url": f"{receiver.url}/hook"}


def test_a_worker_killed_between_the_outbox_and_the_servers_record(
    tmp_path: Path, clip: str, killer: dict[str, str]
) -> None:
    """The server gives the job out again; the video is not made again, and the receiver hears of it once."""
    server = RestServer(tmp_path)
    server.environment |= killer
    with Receiver() as receiver, server:
        job_id = server.post(LOOP, fields(receiver, clip)).json()["job_id"]
        ended = server.wait_for(job_id)
        assert eventually(lambda: server.job(job_id)["callback"]["state"] == "delivered")
        assert "The worker died while it ran this job" in server.log
        assert ended["state"] == "completed"
        [video] = videos(server.outputs)
        assert ended["result"]["output_filename"] == video.name
        [(_, body)] = receiver.heard()
        assert json.loads(body)["output_filename"] == video.name


@pytest.mark.slow
def test_a_server_killed_while_it_delivers(tmp_path: Path, clip: str) -> None:
    """The job is not run again; the next server makes the next attempt, under the same id, with the same body."""
    with Receiver(held=1) as receiver, RestServer(tmp_path) as server:
        job_id = server.post(LOOP, fields(receiver, clip)).json()["job_id"]
        assert server.wait_for(job_id)["state"] == "completed"
        assert eventually(lambda: receiver.requests)
        server.kill()
        expire_claims(server.outputs)
        server.start()
        assert eventually(lambda: server.job(job_id)["callback"]["state"] == "delivered")
        first, second = receiver.heard()
        assert first == second
        assert len(videos(server.outputs)) == 1


@pytest.mark.slow
def test_a_slow_receiver_does_not_delay_the_next_job(tmp_path: Path, clip: str) -> None:
    """The next job is answered while the receiver still holds the callback of the first, on a server and a worker."""
    (tmp_path / "rest").mkdir()
    with Receiver(held=1) as receiver, RestServer(tmp_path / "rest") as server:
        first = server.post(LOOP, fields(receiver, clip)).json()["job_id"]
        assert eventually(lambda: receiver.requests)
        assert server.post(LOOP, {"video_base64": clip}).status_code == 200
        assert server.job(first)["state"] == "completed"
        assert server.job(first)["callback"]["state"] == "pending"
    with Receiver(held=1) as receiver, ControlPlane() as plane, worker(plane, tmp_path / "plain") as plain:
        record = plane.submit({"endpoint": "loop", **fields(receiver, clip)})
        following = plane.submit({"endpoint": "loop", "video_base64": clip})
        assert following.finished.wait(60), plain.log
        assert record.result is not None
        assert record.result["output"]["success"]
        assert len(receiver.requests) == 1


def test_a_worker_of_the_platform_killed_after_the_outbox_was_written(
    tmp_path: Path, clip: str, killer: dict[str, str]
) -> None:
    """The next worker delivers; when the platform gives the job out again, its answer is the first one."""
    with Receiver() as receiver, ControlPlane() as plane:
        with worker(plane, tmp_path, **killer) as first:
            record = plane.submit({"endpoint": "loop", **fields(receiver, clip)})
            assert first.process.wait(60) == -signal.SIGKILL
        assert (record.result, receiver.requests) == (None, [])
        [video] = videos(first.outputs)
        with worker(plane, tmp_path) as second:
            assert eventually(lambda: receiver.requests), second.log
            plane._jobs.append({"id": record.id, "input": {"endpoint": "loop", **fields(receiver, clip)}})
            assert record.finished.wait(60), second.log
        assert record.result is not None
        answer = record.result["output"]
        assert answer["output_filename"] == video.name
        assert answer["output_video_base64"] == inline(video)
        assert videos(first.outputs) == [video]
        [(_, body)] = receiver.heard()
        assert json.loads(body)["output_base64"] == inline(video)


@pytest.mark.slow
def test_a_worker_of_the_platform_killed_while_it_delivers(tmp_path: Path, clip: str) -> None:
    """A new worker makes the next attempt without being given the job."""
    with Receiver(held=1) as receiver, ControlPlane() as plane:
        with worker(plane, tmp_path) as first:
            plane.submit({"endpoint": "loop", **fields(receiver, clip)})
            assert eventually(lambda: receiver.requests), first.log
            first.process.kill()
            first.process.wait()
        expire_claims(first.outputs)
        with worker(plane, tmp_path) as second:
            assert eventually(lambda: len(receiver.requests) == 2), second.log
        one, two = receiver.heard()
        assert one == two


def worker(plane: ControlPlane, folder: Path, **environment: str) -> Worker:
    """A worker of the platform in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Worker(plane, folder, FRAMEPACK_ALLOWED_HOSTS="127.0.0.1", **environment)

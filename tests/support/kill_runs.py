"""Runs of jobs whose processes are killed with ``kill -9`` at named points, and a count of what is left of them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import av
import psutil
import requests

from framepack.net.delivery import Delivery
from framepack.outbox.outbox import Outbox
from framepack.storage.local import LocalStorage
from framepack.storage.reservations import RESERVED, STALE_AFTER, reservation
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ControlPlane, Worker
from tests.support.http_server import Answer, HttpServer
from tests.support.kill_points import DELIVERY, WORKER, Killer
from tests.support.rest_server import RestServer, eventually, tiny_weights

PIPELINE = "/postprocess/pipeline"
STEPS = [
    {"type": "filters", "params": {"contrast": 1.2}},
    {"type": "upscale", "params": {"model": "tiny", "scale_factor": 2}},
    {"type": "loop", "params": {"loop_type": "ping-pong", "num_loops": 1}},
    {"type": "export", "params": {"max_width": 256}},
]
NEEDS_CALLBACK = {"before the outbox", "after the outbox", *DELIVERY}


@dataclass
class Counts:
    """What was found after all kills.

    Attributes:
        kills: Kills at each point.
        jobs: Accepted jobs.
        not_completed: Jobs that did not end, or not as they should.
        lost: Outputs that an answer names and that are missing, or cannot be decoded completely.
        outputs: Videos in the store.
        bodies: Different bodies for each id of a callback, without links, which later attempts renew.
        ids: Different ids for each job.
        heard: How often the receiver heard of each job that wanted a callback.
    """

    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    not_completed: list[Any] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    outputs: int = 0
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)

    def hear(self, receiver: HttpServer) -> None:
        """Count what a receiver heard."""
        for request in receiver.requests:
            if request.method == "POST":
                name, job_id = request.headers["webhook-id"], str(json.loads(request.body)["job_id"])
                self.bodies.setdefault(name, set()).add(_LINK.sub(b"", request.body))
                self.ids.setdefault(job_id, set()).add(name)
                self.heard[job_id] += 1


_LINK: Final = re.compile(rb'"http[^"]*"')


class Site:
    """A receiver of callbacks, a source of videos and a killer, in a folder. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.killer = Killer(folder / "killer")
        self.counts = Counts()
        clip = make_clip(folder / "source.mp4", Spec(size=(144, 96), count=10)).read_bytes()
        self.web = HttpServer({"/clip.mp4": Answer(200, clip), "/hook": Answer(200)})
        tiny_weights(folder / "weights")

    def __enter__(self) -> Self:
        self.web.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.web.__exit__(*error)

    def fields(self, *, callback: bool) -> dict[str, Any]:
        """The fields of a job that goes through every point."""
        hook = {"callback_url": f"{self.web.url}/hook"} if callback else {}
        return {"video_url": f"{self.web.url}/clip.mp4", "operations": STEPS, **hook}

    def check_output(self, outputs: Path, path: str) -> None:
        """Count an output that an answer names."""
        try:
            with av.open(str(outputs / path.removeprefix("/outputs/"))) as video:
                frames = sum(1 for _ in video.decode(video=0))
        except OSError:
            frames = 0
        if frames != 18:  # 10 forwards, 8 backwards
            self.counts.lost.append(path)


def expire_claims(outputs: Path, seconds: float = 600) -> None:
    """Let time pass for the claims of dead processes."""
    _age(outputs / "state" / "outbox" / "claims", seconds)


def _age(folder: Path, seconds: float) -> None:
    moment = time.time() - seconds
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                os.utime(path, (moment, moment))


def leftovers(outputs: Path, temp: Path) -> list[str]:
    """What should not be there once all jobs have ended and the next one has run: temporary files and state.

    What killed processes left in the store is removed by others after some time, which passes here at once: 15
    minutes for files that are not complete, an hour for reservations of names, and a day for claims on callbacks that
    were delivered.
    """
    store = LocalStorage(outputs, stale_after_seconds=-1)
    expire_claims(outputs, 200_000)
    _age(outputs / str(RESERVED), 2 * STALE_AFTER.total_seconds())
    with reservation(store, "the next one"):
        pass
    Outbox(lambda: store, _send_nothing).expire()
    state = outputs / "state"
    once = [state / "job_inputs", state / "damaged", state / "reserved_names", outputs / ".incoming", temp]
    once += [state / "outbox" / name for name in ("pending", "attempts", "claims", "exhausted")]
    return [str(path) for folder in once for path in folder.rglob("*") if path.is_file()]


def _send_nothing(*_attempt: object) -> Delivery:
    raise AssertionError("nothing is due")


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes that work for a server or worker in a folder, in whatever state they are."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("FRAMEPACK_TEMP_DIR") == str(folder / "temp"):
                found.append(process)
    return found


@dataclass
class RestRun:
    """Jobs of a REST server, each with one kill.

    Attributes:
        site: Where it runs.
        server: The server.
        jobs: The accepted jobs, and whether they want a callback.
    """

    site: Site
    server: RestServer
    jobs: dict[str, bool] = field(default_factory=dict)

    def kill_at(self, point: str, *, server: bool, callback: bool) -> None:
        """Run a job, with a kill of its worker at a point, or of the server (or both) if ``server``."""
        outputs, fields = self.server.outputs, self.site.fields(callback=callback or point in NEEDS_CALLBACK)
        self.site.killer.set(point, with_parent=server and point in WORKER)
        headers = {"Prefer": "respond-async", "Idempotency-Key": uuid4().hex}
        job_id = self._accepted(fields, headers)
        assert eventually(lambda: self.site.killer.has_struck, 120), (point, self.server.log[-3000:])
        if server or point not in WORKER:
            self._next_server(outputs)
        job_id = job_id or self._accepted(fields, headers)
        assert job_id is not None
        self.jobs[job_id] = "callback_url" in fields
        self.server.wait_for(job_id)
        self.site.counts.kills[point] += 1

    def _accepted(self, fields: dict[str, Any], headers: dict[str, str]) -> str | None:
        """The id of the job that a request has started; None if the server died first."""
        for _ in range(600):
            try:
                answer = self.server.post(PIPELINE, fields, headers={**headers})
            except requests.ConnectionError:
                return None
            if answer.status_code != 503:  # its worker was killed a moment ago
                assert answer.status_code in {200, 202}, answer.text
                return str(answer.json()["job_id"])
            time.sleep(0.1)
        raise AssertionError(self.server.log[-3000:])

    def _next_server(self, outputs: Path) -> None:
        assert self.server.process is not None
        assert self.server.process.wait(60) == -signal.SIGKILL
        expire_claims(outputs)
        self.server.start()

    def _is_delivered(self, job_id: str) -> bool:
        return bool(self.server.job(job_id)["callback"]["state"] == "delivered")

    def finish(self) -> Counts:
        """Run one more job, wait for the callbacks, and count."""
        counts, outputs = self.site.counts, self.server.outputs
        last = self._accepted(self.site.fields(callback=True), {"Prefer": "respond-async"})
        assert last is not None
        self.jobs[last] = True
        for job_id, has_callback in self.jobs.items():
            view = self.server.wait_for(job_id)
            if view["state"] != "completed":
                counts.not_completed.append(view)
                continue
            self.site.check_output(outputs, view["result"]["output_path"])
            if has_callback:
                assert eventually(partial(self._is_delivered, job_id)), self.server.job(job_id)
        counts.jobs = len(self.jobs)
        counts.outputs = sum(1 for _ in (outputs / "postprocessed_output").rglob("*.mp4"))
        counts.hear(self.site.web)
        return counts


@contextmanager
def rest_run(folder: Path) -> Iterator[RestRun]:
    """A server whose processes can be killed at points."""
    with Site(folder) as site:
        server = RestServer(folder)
        server.environment |= site.killer.environment
        with server:
            yield RestRun(site, server)


@dataclass
class PlainRun:
    """Jobs of RunPod workers, each with one kill; the platform gives a job out again when its worker died.

    Attributes:
        site: Where they run.
        plane: The platform.
        worker: The worker that is up.
        jobs: The jobs, and whether they want a callback.
    """

    site: Site
    plane: ControlPlane
    worker: Worker
    jobs: dict[str, bool] = field(default_factory=dict)

    def kill_at(self, point: str, *, callback: bool) -> None:
        """Run a job, with a kill of the worker at a point."""
        fields = {"endpoint": "pipeline", **self.site.fields(callback=callback or point in NEEDS_CALLBACK)}
        self.site.killer.set(point)
        record = self.plane.submit(fields)
        assert self.worker.process.wait(60) == -signal.SIGKILL, self.worker.log[-3000:]
        assert self.site.killer.has_struck
        expire_claims(self.worker.outputs)
        self.worker.__enter__()
        if record.result is None:
            self.plane._jobs.append({"id": record.id, "input": fields})
        assert record.finished.wait(60), self.worker.log[-3000:]
        self.jobs[record.id] = "callback_url" in fields
        self.site.counts.kills[point] += 1

    def finish(self) -> Counts:
        """Run one more job, wait for the callbacks, and count."""
        counts, outputs = self.site.counts, self.worker.outputs
        last = self.plane.submit({"endpoint": "pipeline", **self.site.fields(callback=True)})
        assert last.finished.wait(60), self.worker.log[-3000:]
        self.jobs[last.id] = True
        for job_id in self.jobs:
            result = self.plane.records[job_id].result
            answer = (result or {}).get("output", {})
            if not answer.get("success"):
                counts.not_completed.append(result)
                continue
            self.site.check_output(outputs, answer["output_path"])
        pending = outputs / "state" / "outbox" / "pending"
        assert eventually(lambda: not [path for path in pending.rglob("*") if path.is_file()]), self.worker.log[
            -3000:
        ]
        counts.jobs = len(self.jobs)
        counts.outputs = sum(1 for _ in (outputs / "postprocessed_output").rglob("*.mp4"))
        counts.hear(self.site.web)
        return counts


@contextmanager
def plain_run(folder: Path) -> Iterator[PlainRun]:
    """A platform with a worker that can be killed at points."""
    with Site(folder) as site, ControlPlane() as plane:
        environment = {"FRAMEPACK_ALLOWED_HOSTS": "127.0.0.1", "FRAMEPACK_WEIGHTS_DIR": str(folder / "weights")}
        worker = Worker(plane, folder, **environment, **site.killer.environment)
        with worker:
            yield PlainRun(site, plane, worker)

"""Hundreds of small jobs of all kinds on one server, many of which fail: all end, and nothing grows."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.kill_runs import leftovers
from tests.support.rest_server import KEY, RestServer, eventually, inline

JOBS = 500
WARM_UP = 60
CLIENTS = 6

MEMORY_GROWTH = 1.25


@dataclass
class Soak:
    """Clients of a server, and a receiver that is up or down.

    Attributes:
        server: The server.
        clip: A video, as base64.
        is_up: Whether the receiver accepts callbacks.
        promised: Ids of the accepted jobs with a callback.
        sent: How many requests of each kind were sent.
        accepted: Bodies that the receiver accepted, by id.
        refused: How many attempts the receiver refused.
    """

    server: RestServer
    clip: str
    is_up: bool = True
    promised: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, list[bytes]] = field(default_factory=dict)
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    web: HttpServer = field(init=False)

    def __post_init__(self) -> None:
        """Make the receiver."""
        self.web = HttpServer({"/hook": self._receive})

    def _receive(self, received: Received) -> Answer:
        with self._lock:
            if not self.is_up:
                self.refused += 1
                return Answer(503)
            self.accepted.setdefault(received.headers["webhook-id"], []).append(received.body)
            return Answer(200)

    def send(self, number: int) -> None:
        """Send the request of a number: of twenty, five fail, one is cancelled, and one loses its client."""
        kinds = [
            *(self._loop, self._filters, self._analyze, self._not_a_video, self._idempotent),
            *(self._filters, self._missing_source, self._loop, self._analyze, self._truncated),
            *(self._cancelled, self._filters, self._forbidden_source, self._loop, self._idempotent),
            *(self._leaving, self._filters, self._too_large, self._analyze, self._idempotent),
        ]
        kind = kinds[number % len(kinds)]
        with self._lock:
            self.sent[kind.__name__.strip("_")] += 1
        kind(number)

    def _start(self, path: str, **fields: Any) -> str:
        """Start a job with a callback; return its id."""
        answer = self.server.post(path, {**fields, "callback_url": f"{self.web.url}/hook"})
        assert answer.status_code == 200, answer.text
        job_id = str(answer.json()["job_id"])
        with self._lock:
            self.promised.add(job_id)
        return job_id

    def _loop(self, number: int) -> None:
        answer = self.server.post("/postprocess/loop", {"video_base64": self.clip, "num_loops": 1 + number % 3})
        assert answer.status_code == 200, answer.text

    def _filters(self, number: int) -> None:
        self._start("/postprocess/filters", video_base64=self.clip, contrast=1 + number % 5 / 10)

    def _analyze(self, _number: int) -> None:
        assert self.server.post("/postprocess/analyze", {"video_base64": self.clip}).status_code == 200

    def _not_a_video(self, number: int) -> None:
        self._start("/postprocess/loop", video_base64=b64encode(b"no video %d" % number * 100).decode())

    def _missing_source(self, number: int) -> None:
        self._start("/postprocess/export", video_url=f"{self.web.url}/missing-{number}.mp4")

    def _truncated(self, _number: int) -> None:
        half = self.clip[: len(self.clip) // 8 * 4]
        assert self.server.post("/postprocess/loop", {"video_base64": half}).status_code == 400

    def _forbidden_source(self, _number: int) -> None:
        self.server.start_job("/postprocess/loop", {"video_url": "http://10.0.0.1/clip.mp4"})

    def _too_large(self, _number: int) -> None:
        steps = [{"type": "loop", "params": {"loop_type": "loop", "num_loops": 10}}] * 5
        self._start("/postprocess/pipeline", video_base64=self.clip, operations=steps)

    def _idempotent(self, number: int) -> None:
        key = {"Idempotency-Key": f"order-{number}"}
        ids = {self.server.start_job("/postprocess/loop", {"video_base64": self.clip}, **key) for _ in range(3)}
        assert len(ids) == 1

    def _cancelled(self, _number: int) -> None:
        job_id = self._start("/postprocess/loop", video_base64=self.clip, loop_type="ping-pong", num_loops=10)
        assert self.server.delete(f"/jobs/{job_id}").status_code in {200, 409}

    def _leaving(self, _number: int) -> None:
        fields = {"video_base64": self.clip, "loop_type": "ping-pong", "num_loops": 10}
        headers = {"X-API-Key": KEY}
        with suppress(requests.ReadTimeout):
            requests.post(f"{self.server.url}/postprocess/loop", json=fields, headers=headers, timeout=(5, 0.05))

    def run(self, first: int, end: int) -> None:
        """Send the requests of these numbers, and wait until all jobs have ended."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self.send, range(first, end)))
        assert eventually(self.is_quiet, 240), self.server.get("/health").json()

    def is_quiet(self) -> bool:
        """Whether no job is left."""
        health = self.server.get("/health").json()
        return bool(health["jobs_running"] == health["jobs_queued"] == 0)

    def jobs(self) -> Counter[str]:
        """How many jobs are in each state."""
        return Counter(job["state"] for job in self.server.get("/jobs?limit=1000").json()["jobs"])

    def pending(self) -> list[str]:
        """Ids of the callbacks that are not delivered."""
        return [each["id"] for each in self.server.get("/callbacks?state=pending&limit=1000").json()["callbacks"]]


def usage(server: RestServer) -> dict[str, dict[str, int]]:
    """Open files, threads and memory of the server and its two workers."""
    found = {}
    own = psutil.Process(server.pid)
    for process in (own, *own.children(recursive=True)):
        command = process.cmdline()
        name = "server" if process == own else f"worker {'light' if command[-1] == 'light' else 'main'}"
        memory = process.memory_info().rss // 1_000_000
        found[name] = {"files": process.num_fds(), "threads": process.num_threads(), "megabytes": memory}
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_mixed_jobs_leave_nothing_and_take_no_more_than_before(tmp_path: Path) -> None:
    """A quarter fails, the receiver is down for half of the time, clients repeat requests, cancel and leave."""
    clip = inline(make_clip(tmp_path / "clip.mp4", Spec(count=8)))
    settings = {"max_queued_jobs": "1000", "max_output_frames": "2000"}
    with RestServer(tmp_path, **settings) as server, (soak := Soak(server, clip)).web:
        soak.run(0, WARM_UP)
        assert eventually(lambda: not soak.pending())
        before = usage(server)
        soak.is_up = False
        soak.run(WARM_UP, JOBS // 2)
        assert soak.refused
        soak.is_up = True
        soak.run(JOBS // 2, JOBS)
        for name in soak.pending():
            assert server.post(f"/callbacks/{name}/redeliver").status_code in {200, 404, 409}
        assert eventually(lambda: not soak.pending()), server.log[-3000:]
        after = usage(server)
        jobs = soak.jobs()
        print(json.dumps({"before": before, "after": after, "jobs": jobs, "sent": soak.sent}))  # noqa: T201
        print(json.dumps({"callbacks": len(soak.accepted), "refused": soak.refused}))  # noqa: T201

        assert sum(jobs.values()) == JOBS
        assert set(jobs) == {"completed", "failed", "cancelled"}
        assert jobs["failed"] >= JOBS // 5
        jobs_of = {name: [json.loads(body)["job_id"] for body in bodies] for name, bodies in soak.accepted.items()}
        assert sorted(job_id for job_ids in jobs_of.values() for job_id in job_ids) == sorted(soak.promised)
        assert eventually(lambda: not leftovers(server.outputs, tmp_path / "temp"))
        assert set(after) == set(before)
        for name, used in after.items():
            assert used["files"] <= before[name]["files"] + 16, (name, before, after)
            assert used["threads"] <= before[name]["threads"] + 16, (name, before, after)
            assert used["megabytes"] <= before[name]["megabytes"] * MEMORY_GROWTH + 50, (name, before, after)

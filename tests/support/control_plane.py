"""A control plane on loopback with the platform's worker routes: it drives the SDK's real production loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.5
_RESULT_LIMIT_BYTES = 10_000_000


@dataclass
class Record:
    """What the platform knows of one job."""

    id: str
    updates: list[Any] = field(default_factory=list)
    result: dict[str, Any] | None = None
    after_result: list[Any] = field(default_factory=list)
    refused: int = 0
    taken: bool = False
    finished: threading.Event = field(default_factory=threading.Event)


class ControlPlane:
    """Hands out jobs, takes progress and results, passes stop signals on. Use as a context manager."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.pings: list[dict[str, str]] = []
        self._jobs: deque[dict[str, Any]] = deque()
        self._stops: deque[str] = deque()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # The client's side

    def submit(self, fields: dict[str, Any], *, prefix: str = "", **extra: Any) -> Record:
        """Queue a job with this input; ``extra`` goes beside it, as s3Config does."""
        job_id = prefix + uuid.uuid4().hex[:12]
        record = self.records[job_id] = Record(job_id)
        self._jobs.append({"id": job_id, "input": fields, **extra})
        return record

    def run(self, fields: dict[str, Any], *, timeout: float = 120, **extra: Any) -> dict[str, Any]:
        """Queue a job and wait for what the worker posts."""
        record = self.submit(fields, **extra)
        assert record.finished.wait(timeout), f"job {record.id} did not finish"
        assert record.result is not None
        return record.result

    def cancel(self, record: Record) -> None:
        """Signal the worker to stop a job."""
        self._stops.append(record.id)

    # The worker's side

    def environment(self) -> dict[str, str]:
        """What the platform sets in a worker's environment."""
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{self.url}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{self.url}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{self.url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{self.url}/ping/$RUNPOD_POD_ID",
            "RUNPOD_AI_API_KEY": "platform-key",
            "RUNPOD_POD_ID": "pod",
            "RUNPOD_GPU_COUNT": "0",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=100_000_000)
        app.add_routes(
            [
                web.get("/job-take/{pod}", self._take),
                web.get("/job-stop/{pod}", self._stop),
                web.post("/job-done/{pod}/{job}", self._done),
                web.get("/ping/{pod}", self._ping),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        left = asyncio.all_tasks(self._loop)  # of workers that were killed while they polled
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _poll(self, waiting: deque[Any]) -> Any:
        deadline = time.monotonic() + _POLL_SECONDS
        while time.monotonic() < deadline:
            if waiting:
                return waiting.popleft()
            await asyncio.sleep(0.02)
        return None

    async def _take(self, _request: web.Request) -> web.Response:
        job = await self._poll(self._jobs)
        if job is None:
            return web.Response(status=204)
        self.records[job["id"]].taken = True
        return web.json_response(job)

    async def _stop(self, _request: web.Request) -> web.Response:
        stop = await self._poll(self._stops)
        return web.Response(status=204) if stop is None else web.json_response({"jobsToStop": [stop]})

    async def _done(self, request: web.Request) -> web.Response:
        text = await request.text()
        record = self.records[request.match_info["job"]]
        if len(text.encode()) > _RESULT_LIMIT_BYTES:
            record.refused += 1
            return web.Response(status=400)
        body = json.loads(text)
        if record.result is not None:
            record.after_result.append(body)
        elif body.get("status") == "IN_PROGRESS":
            record.updates.append(body["output"])
        else:
            record.result = body
            record.finished.set()
        return web.Response()

    async def _ping(self, request: web.Request) -> web.Response:
        self.pings.append(dict(request.query))
        return web.Response()


class Worker:
    """``python handler.py`` as a platform would start it. Use as a context manager."""

    def __init__(self, plane: ControlPlane, folder: Path, **environment: str) -> None:
        self.log_path = folder / "worker.log"
        self.outputs = folder / "outputs"
        self.temp = folder / "temp"
        self._environment = {
            **os.environ,
            **plane.environment(),
            "FRAMEPACK_STORAGE": f"file:{self.outputs}",
            "FRAMEPACK_TEMP_DIR": str(self.temp),
            "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
            **environment,
        }
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "handler.py"], cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def log(self) -> str:
        """Everything the worker has printed so far."""
        return self.log_path.read_text(errors="replace")

    def leftovers(self) -> list[str]:
        """Files in the working folder."""
        return sorted(str(path.relative_to(self.temp)) for path in self.temp.rglob("*") if path.is_file())

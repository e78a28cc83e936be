"""RunPod on loopback, whole: the worker's side (`ControlPlane`), and that of clients, as the SDK's own asks it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.support.control_plane import ControlPlane, Record, Worker
from tests.support.rest_server import RestServer
from tests.support.short_pauses import REMOTE_REPORT, short_pauses

ENDPOINT = "endpoint1"
ACCOUNT_KEY = "rpa_account-key"
_INPUT_LIMIT_BYTES = 10_000_000


class Platform(ControlPlane):
    """Takes jobs over HTTP, tells how they are, and cancels them. Use as a context manager.

    Attributes:
        calls: Every call of a client that was let in: verb and job id.
        inputs: What each job was given, by job id.
        ill: Status that every call is answered with at the moment; None when all is well.
        turned_away: How many calls were answered with such a status.
        hesitation_seconds: How long it takes to answer that a job was taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.inputs: dict[str, dict[str, Any]] = {}
        self.ill: int | None = None
        self.turned_away = 0
        self.hesitation_seconds = 0.0
        self._cancelled: set[str] = set()
        self._forgotten: set[str] = set()
        self._runner: web.AppRunner
        self._site: web.TCPSite
        self._port = 0

    def __enter__(self) -> Self:
        super().__enter__()
        self._wait(self._open())
        return self

    def __exit__(self, *error: object) -> None:
        self._wait(self._runner.cleanup())
        super().__exit__(*error)

    @property
    def client_url(self) -> str:
        """What the SDK's client calls its base URL."""
        return f"http://127.0.0.1:{self._port}"

    def client_environment(self) -> dict[str, str]:
        """What a client of the platform has in its environment."""
        return {
            "RUNPOD_ENDPOINT_BASE_URL": self.client_url,
            "RUNPOD_API_KEY": ACCOUNT_KEY,
            "FRAMEPACK_BACKEND": "runpod",
            "FRAMEPACK_RUNPOD_ENDPOINT_ID": ENDPOINT,
        }

    def count(self, verb: str) -> int:
        """How many calls of this verb there were."""
        return sum(each == verb for each, _ in self.calls)

    def forget(self, record: Record) -> None:
        """Know nothing of a job any more."""
        self._forgotten.add(record.id)

    def end(self, record: Record, **result: Any) -> None:
        """End a job as a worker's post would."""
        record.result = result
        record.finished.set()

    def state(self, record: Record) -> str:
        """What the platform calls the state of a job."""
        if record.id in self._cancelled:
            return "CANCELLED"
        if record.result is not None:
            return str(record.result.get("status") or ("FAILED" if "error" in record.result else "COMPLETED"))
        return "IN_PROGRESS" if record.taken else "IN_QUEUE"

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse the connections of clients while the block lasts; workers notice nothing."""
        self._wait(self._leave())
        try:
            yield
        finally:
            self._wait(self._listen())

    def _wait(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        app = web.Application(client_max_size=100_000_000)
        app.add_routes(
            [
                web.post("/{endpoint}/run", self._guarded(self._run)),
                web.get("/{endpoint}/health", self._guarded(self._health)),
                web.get("/{endpoint}/status/{job}", self._guarded(self._status)),
                web.post("/{endpoint}/cancel/{job}", self._guarded(self._cancel)),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()
        self._port = self._runner.addresses[0][1]

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()

    async def _leave(self) -> None:
        await self._site.stop()
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()

    def _guarded(
        self, answer: Callable[[web.Request], Coroutine[Any, Any, web.Response]]
    ) -> Callable[[web.Request], Coroutine[Any, Any, web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            if self.ill is not None:
                self.turned_away += 1
                return web.Response(status=self.ill)
            if request.headers.get("Authorization") != f"Bearer {ACCOUNT_KEY}":
                return web.Response(status=401)
            job = request.match_info.get("job", "")
            self.calls.append((request.path.split("/")[2], job))
            known = job in self.records and job not in self._forgotten
            if request.match_info["endpoint"] != ENDPOINT or (job and not known):
                return web.json_response({"error": "job not found"}, status=404)
            return await answer(request)

        return guarded

    async def _run(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > _INPUT_LIMIT_BYTES:
            return web.Response(status=400)
        given = await request.json()
        record = self.submit(given["input"], prefix=uuid.uuid4().hex[:4])
        self.inputs[record.id] = given["input"]
        await asyncio.sleep(self.hesitation_seconds)
        return web.json_response({"id": record.id, "status": "IN_QUEUE"})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"jobs": {"inQueue": len(self._jobs)}, "workers": {"idle": 0}})

    async def _status(self, request: web.Request) -> web.Response:
        record = self.records[request.match_info["job"]]
        answer: dict[str, Any] = {"id": record.id, "status": self.state(record), "delayTime": 1}
        if record.result is not None:
            answer |= {name: value for name, value in record.result.items() if name in {"output", "error"}}
        elif record.updates:
            answer["output"] = record.updates[-1]
        return web.json_response(answer)

    async def _cancel(self, request: web.Request) -> web.Response:
        record = self.records[request.match_info["job"]]
        if record.result is None:
            self._cancelled.add(record.id)
            waiting = [job for job in self._jobs if job["id"] == record.id]
            for job in waiting:
                self._jobs.remove(job)
            if not waiting:
                self.cancel(record)
        return web.json_response({"id": record.id, "status": self.state(record)})


def before(platform: Platform, folder: Path, *, has_workers: bool = True, **settings: str) -> RestServer:
    """A server that sends its jobs to the platform; it asks for them every moment.

    Args:
        platform: The platform.
        folder: For everything of the server.
        has_workers: Whether workers may report ends of jobs; else the server does not wait for that.
        settings: As for a `RestServer`.
    """
    server = RestServer(folder, **settings)
    server.environment |= platform.client_environment()
    server.environment |= short_pauses(folder, None if has_workers else REMOTE_REPORT)
    return server


def working(platform: Platform, folder: Path, server: RestServer, **environment: str) -> Worker:
    """A worker with the server's store and settings."""
    (folder / "worker").mkdir(exist_ok=True)
    shared = {
        name: value
        for name, value in server.environment.items()
        if name.startswith(("FRAMEPACK_", "BUCKET_", "OMP_")) and name != "FRAMEPACK_TEMP_DIR"
    }
    public = {"FRAMEPACK_PUBLIC_URL": server.url, **short_pauses(folder)}
    return Worker(platform, folder / "worker", **{**shared, **public, **environment})

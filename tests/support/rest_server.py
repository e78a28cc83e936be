"""The REST server for tests: as a process of its own, or in this one around a backend that does what a test says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import requests
import uvicorn
from safetensors.torch import save_file

from framepack.answer import Answer
from framepack.jobs.backends.base import Backend, NotReady, Readiness, WorkerLost, WorkItem
from framepack.jobs.backends.local import LIGHT_SLOTS, LIGHT_WORKER, LocalBackend
from framepack.rest.app import create_app
from framepack.rest.auth import ApiKeys
from framepack.rest.connections import ConnectionLimits
from framepack.rest.serve import DrainingServer, http_config
from framepack.rest.server import Server
from framepack.runtime import Runtime
from framepack.settings import Settings
from tests.support.control_plane import ROOT
from tests.support.networks import tiny_compact

KEY = "test-key"
TIMEOUT_SECONDS = 120
_START_SECONDS = 180  # a worker imports torch, which takes a minute on a machine with ten other processes


def eventually(holds: Callable[[], Any], seconds: float = 60) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return bool(holds())


def inline(path: Path) -> str:
    """A file as base64."""
    return base64.b64encode(path.read_bytes()).decode()


def tiny_weights(folder: Path) -> Path:
    """A weights folder with the quick upscaler ``tiny``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_compact(scale=4), folder / "tiny.safetensors")
    return folder


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Client:
    """Asks a server, with the right key unless ``headers`` say otherwise (None drops a header)."""

    url: str = ""

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str | None] | None = None, **more: Any
    ) -> requests.Response:
        """One request; ``path`` may be a whole address. More arguments go to ``requests``."""
        given: dict[str, str | None] = {"X-API-Key": KEY, **(headers or {})}
        address = path if path.startswith("http") else self.url + path
        kept = {name: value for name, value in given.items() if value is not None}
        return requests.request(method, address, json=body, headers=kept, timeout=TIMEOUT_SECONDS, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        """A GET."""
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        """A POST with a JSON body."""
        return self.ask("POST", path, body, **more)

    def delete(self, path: str) -> requests.Response:
        """A DELETE."""
        return self.ask("DELETE", path)

    def start_job(self, path: str, body: Any, **headers: str) -> str:
        """Start a job without waiting for it; return its id."""
        answer = self.post(path, body, headers={"Prefer": "respond-async", **headers})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """What the server says of a job."""
        answer = self.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def wait_for(self, job_id: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until a job is in one of these states (by default: has ended); return what the server says of it."""
        wanted = states or ("completed", "failed", "cancelled")
        assert eventually(lambda: self.job(job_id)["state"] in wanted, seconds), self.job(job_id)
        return self.job(job_id)

    def events(self, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of a job, to their end."""
        with self.get(f"/jobs/{job_id}/events", stream=True) as answer:
            assert answer.status_code == 200, answer.text
            name = ""
            for line in answer.iter_lines(decode_unicode=True):
                kind, _, value = line.partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    yield name, json.loads(value)


def upload(client: Client, content: bytes, name: str = "clip.mp4", field: str = "file") -> requests.Response:
    """Upload a file as a form."""
    return client.ask("POST", "/uploads", files={field: (name, content, "video/mp4")})


class RestServer(Client):
    """``python -m framepack serve`` as a person starts it: a context manager; may be killed and started again.

    Args:
        folder: Its store, working files, weights and log lie here, unless the settings say otherwise.
        settings: Environment variables without ``FRAMEPACK_``, in small letters.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__()
        self.folder = folder
        self.outputs = folder / "outputs"
        self.log_path = folder / "server.log"
        chosen = {
            "storage": f"file:{self.outputs}",
            "temp_dir": str(folder / "temp"),
            "weights_dir": str(folder / "weights"),
            "weights_download": "false",
            "allowed_hosts": "127.0.0.1",
            "api_keys": KEY,
            "shutdown_grace_seconds": "5",
            **settings,
        }
        self.environment = {
            **os.environ,
            "OMP_WAIT_POLICY": "PASSIVE",
            **{f"FRAMEPACK_{name.upper()}": value for name, value in chosen.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, ready: bool = True, port: int | None = None) -> None:
        """Start the process, and wait until it answers (and, if ``ready``, until its worker is ready)."""
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "framepack", "serve", "--port", str(port)],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            assert eventually(lambda: self.answers({200} if ready else {200, 204, 503}), _START_SECONDS), self.log
        except BaseException:
            self.kill()
            raise

    def answers(self, statuses: set[int]) -> bool:
        """Whether ``/ping`` answers with one of these."""
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return requests.get(f"{self.url}/ping", timeout=5).status_code in statuses
        except (requests.ConnectionError, requests.Timeout):
            return False

    def stop(self) -> None:
        """End the process as a platform does, or kill it if it does not obey."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process the hard way; nothing is left of it, but its worker is not touched."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def worker(self) -> psutil.Process | None:
        """The worker's process, while there is one."""
        for child in psutil.Process(self.pid).children():
            with suppress(psutil.Error):  # it has just ended
                command = child.cmdline()
                if "worker_process" in " ".join(command) and command[-1] != "light":
                    return child
        return None

    @property
    def log(self) -> str:
        """Everything that was printed so far."""
        return self.log_path.read_text(errors="replace")


@dataclass
class Held:
    """A job that waits in a `HeldBackend` for what the test makes of it; safe to use from the test's thread."""

    item: WorkItem
    attempt: int
    _loop: asyncio.AbstractEventLoop
    _end: asyncio.Future[Answer]

    def finish(self, **answer: Any) -> None:
        """End the job with this answer."""
        self._soon(lambda: self._end.set_result(answer or {"success": True, "message": "done"}))

    def lose(self, suspects: int = 1) -> None:
        """Let its worker die, which ran as many jobs."""
        self._soon(lambda: self._end.set_exception(WorkerLost(suspects)))

    def turn_away(self, reason: str) -> None:
        """Let it not be started after all."""
        self._soon(lambda: self._end.set_exception(NotReady(reason)))

    def progress(self, **update: Any) -> None:
        """Report progress."""
        self._loop.call_soon_threadsafe(self.item.on_progress, update)

    def _soon(self, act: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(lambda: None if self._end.done() else act())


@dataclass
class HeldBackend:
    """A backend that carries nothing out: every job waits until the test says how it ends.

    Attributes:
        slots: How many jobs it takes at once.
        readiness: What it says of itself.
        device: Where it says that networks run.
        problem: What it says is wrong with it.
        restarts: How often it says that its worker was replaced.
        held: Every job it was given, by id and in order; one that is tried twice is there as its last try.
        cancelled: The ids of jobs whose work was cancelled.
        asked: The questions it was asked.
        answer: What questions are answered.
        loses_when_cancelled: Whether the worker dies of every cancel.
    """

    slots: int = 1
    readiness: Readiness = Readiness.READY
    statistics: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] | None = None
    problem: str | None = None
    restarts: int = 0
    held: dict[str, Held] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answer: Answer = field(default_factory=lambda: {"success": True})
    loses_when_cancelled: bool = False

    async def wait_until_ready(self) -> None:
        """Wait until the test says that it is ready."""
        while self.readiness is not Readiness.READY:  # noqa: ASYNC110 - the test sets it from another thread
            await asyncio.sleep(0.01)

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def run(self, item: WorkItem) -> Answer:
        """Hold the job."""
        loop = asyncio.get_running_loop()
        attempt = self.held[item.id].attempt + 1 if item.id in self.held else 1
        held = self.held[item.id] = Held(item, attempt, loop, loop.create_future())
        try:
            return await held._end
        except asyncio.CancelledError:
            self.cancelled.append(item.id)
            if self.loses_when_cancelled:
                raise WorkerLost from None
            raise

    async def query(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Answer at once."""
        self.asked.append((operation, fields))
        return self.answer

    def wait_for(self, job_id: str, attempt: int = 1) -> Held:
        """The job, once it has come here as often."""
        assert eventually(lambda: job_id in self.held and self.held[job_id].attempt >= attempt)
        return self.held[job_id]


@dataclass
class LocalServer(Client):
    """A server in a thread of this process; its parts can be looked at."""

    server: Server = field(kw_only=True)
    loop: asyncio.AbstractEventLoop = field(kw_only=True)


@contextmanager
def server_in_thread(
    folder: Path,
    backend: Backend,
    light: Backend | None = None,
    limits: ConnectionLimits | None = None,
    **settings: Any,
) -> Iterator[LocalServer]:
    """Serve over real HTTP around ``backend``, with a store in ``folder``; stops like a server told to stop.

    The light lane has a real worker, unless there is a backend for it.
    """
    port = free_port()
    chosen = {
        "storage": f"file:{folder / 'outputs'}",
        "temp_dir": folder / "temp",
        "weights_dir": folder / "weights",
        "weights_download": False,
        "allowed_hosts": "127.0.0.1",
        "public_url": f"http://127.0.0.1:{port}",
        "shutdown_grace_seconds": 0,
        **settings,
    }
    if light is None:
        given = {f"FRAMEPACK_{name.upper()}": str(value) for name, value in chosen.items()}
        light = LocalBackend({**os.environ, **given}, LIGHT_WORKER, slots=LIGHT_SLOTS, is_lazy=True)
    server = Server(Runtime(Settings(**chosen)), backend, light)
    config = http_config(create_app(server, ApiKeys.of([KEY])), "127.0.0.1", port, limits)
    config.timeout_graceful_shutdown = 2
    serving = DrainingServer(config, lambda: server.jobs.stop(server.runtime.settings.shutdown_grace_seconds))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: _serve(loop, serving))
    thread.start()
    try:
        assert eventually(lambda: serving.started or not thread.is_alive())
        assert serving.started
        yield LocalServer(f"http://127.0.0.1:{port}", server=server, loop=loop)
    finally:
        serving.handle_exit(signal.SIGTERM, None)
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


def _serve(loop: asyncio.AbstractEventLoop, serving: uvicorn.Server) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(serving.serve())
    finally:
        loop.close()

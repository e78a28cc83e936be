"""Several sources of one job: brought beside each other, reported in order, stopped together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.job import Job
from tests.support.clips import AudioSpec, Spec, make_clip, truncate
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.runs import Bench, bench

PATIENCE = 60  # seconds after which a test fails instead of waiting on


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that may fetch from this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",), video_preset="ultrafast")


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    """A short video."""
    return make_clip(tmp_path / "clip.mp4", Spec(count=3)).read_bytes()


class Endless:
    """A body that comes slowly, for as long as the test is patient.

    Attributes:
        begun: Set when it begins.
        is_whole: Whether all of it was sent.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.is_whole = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield pieces."""
        self.begun.set()
        for _ in range(PATIENCE * 100):
            time.sleep(0.01)
            yield bytes(10_000)
        self.is_whole = True


def urls(server: HttpServer, count: int) -> list[str]:
    """Addresses that end with their number."""
    return [f"{server.url}/{number}" for number in range(count)]


def test_sources_are_on_their_way_at_the_same_time(worker: Bench, clip: bytes) -> None:
    """Each of three downloads is answered only when all three have begun."""
    meeting = threading.Barrier(3)

    def answer(_received: Received) -> Answer:
        meeting.wait(PATIENCE)
        return Answer(body=clip)

    with HttpServer(answer) as server:
        joined = worker.run("join", video_urls=urls(server, 3))
    assert joined.get("success"), joined


def test_few_sources_are_on_their_way_at_the_same_time(worker: Bench, clip: bytes) -> None:
    """Of ten sources, at most four are asked for before the first has arrived."""
    lock, open_now, most = threading.Lock(), 0, 0

    def pieces() -> Iterator[bytes]:
        nonlocal open_now, most
        with lock:
            open_now += 1
            most = max(most, open_now)
        time.sleep(0.05)
        with lock:
            open_now -= 1
        yield clip

    with HttpServer(lambda _received: Answer(body=pieces())) as server:
        joined = worker.run("join", video_urls=urls(server, 10))
    assert joined.get("success"), joined
    assert 2 <= most <= 4


def test_the_first_source_in_order_that_fails_is_reported(worker: Bench, clip: bytes) -> None:
    """A source that fails earlier, but comes later in the request, is not what the client reads about."""
    later_failed = threading.Event()

    def answer(received: Received) -> Answer:
        if received.path == "/2":
            later_failed.set()
            return Answer(410)
        if received.path == "/1":
            later_failed.wait(PATIENCE)
            return Answer(404)
        return Answer(body=clip)

    with HttpServer(answer) as server:
        joined = worker.run("join", video_urls=urls(server, 3))
    assert joined["error"].startswith("video_urls[1]: ")
    assert "404" in joined["error"]


def test_a_source_that_fails_stops_those_after_it(worker: Bench) -> None:
    """The error does not wait for a slow download, and nothing is left of it."""
    slow = Endless()

    def answer(received: Received) -> Answer:
        if received.path == "/1":
            return Answer(body=slow)
        slow.begun.wait(PATIENCE)
        return Answer(404)

    with HttpServer(answer) as server:
        joined = worker.run("join", video_urls=urls(server, 2))
        assert joined["error"].startswith("video_urls[0]: ")
        assert not slow.is_whole
    assert worker.leftovers() == []


def test_a_source_that_fails_leaves_those_before_it(worker: Bench, clip: bytes) -> None:
    """The sources before one that fails still arrive: one of them may be what has to be reported."""
    failed, sent = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield clip[:1000]
        failed.wait(PATIENCE)
        time.sleep(0.2)
        yield clip[1000:]
        sent.set()

    def answer(received: Received) -> Answer:
        if received.path == "/1":
            failed.set()
            return Answer(404)
        return Answer(body=body())

    with HttpServer(answer) as server:
        joined = worker.run("join", video_urls=urls(server, 2))
    assert joined["error"].startswith("video_urls[1]: ")
    assert sent.is_set()


def test_a_cancelled_job_stops_all_its_sources(worker: Bench) -> None:
    """Cancelling while three sources arrive ends the job at once, and nothing is left of them."""
    slow = [Endless() for _ in range(3)]
    job = Job("test")

    def cancel() -> None:
        for body in slow:
            body.begun.wait(PATIENCE)
        job.cancel()

    with HttpServer({f"/{number}": Answer(body=body) for number, body in enumerate(slow)}) as server:
        canceller = threading.Thread(target=cancel)
        canceller.start()
        joined = worker.run("join", video_urls=urls(server, 3), job=job)
        canceller.join()
        assert joined["code"] == "cancelled"
        assert "video_urls" not in joined["error"]
        assert not any(body.is_whole for body in slow)
    assert worker.leftovers() == []


def test_warnings_come_in_the_order_of_the_sources(worker: Bench, tmp_path: Path) -> None:
    """Of two damaged sources, the second arrives first; the warnings about the first come first."""
    whole = make_clip(tmp_path / "clip.mkv", Spec(count=50, audio=AudioSpec(seconds=2)))
    part = truncate(whole, tmp_path / "part.mkv", 0.7).read_bytes()
    asked = threading.Event()

    def answer(received: Received) -> Answer:
        if received.path == "/0":
            asked.wait(PATIENCE)
            time.sleep(0.2)
        else:
            asked.set()
        return Answer(body=part)

    with HttpServer(answer) as server:
        joined = worker.run("join", video_urls=urls(server, 2))
    places = [sentence.partition(":")[0] for sentence in joined["warnings"]]
    assert set(places) == {"video_urls[0]", "video_urls[1]"}
    assert places == sorted(places)


def test_sources_in_sum_are_charged_in_order(tmp_path: Path, clip: bytes) -> None:
    """The source with which the sum is over the limit is named, whichever arrives first."""
    frame = 64 * 48
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",), max_source_gigapixels=7 * frame / 1e9)
    later = threading.Event()

    def answer(received: Received) -> Answer:
        if received.path == "/2":
            later.set()
        else:
            later.wait(PATIENCE)
        return Answer(body=clip)

    with HttpServer(answer) as server:
        joined = worker.run("join", video_urls=urls(server, 3))
    assert joined["error"].startswith("video_urls[2]: ")
    assert joined["code"] == "too_large"

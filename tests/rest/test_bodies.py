"""Receiving request bodies: limits of size, values and time, and what slow clients may hold."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from framepack.errors import BadRequest, DiskFull, FramepackError, TooLarge, Unavailable
from framepack.rest import bodies
from framepack.rest.bodies import MAX_VALUES, BodyReader, Pace, ValueCounter, body_chunks
from tests.support.rest_server import KEY, Client, HeldBackend, RestServer, eventually, server_in_thread

LOOP = "/postprocess/loop"
FILTERS = "/postprocess/filters"
MEGABYTE = 1_000_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text(alphabet='\\"[]{},: é'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='\\",[{'), inner),
)


def values_of(value: Any) -> int:
    """The number of values in a parsed JSON value, itself included."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return 1 + sum(map(values_of, inner))


def empties_of(value: Any) -> int:
    """The number of empty arrays and objects in it."""
    if not isinstance(value, list | dict):
        return 0
    inner = value if isinstance(value, list) else value.values()
    return sum(map(empties_of, inner)) + (not value)


@settings(max_examples=100)
@given(value=json_values, cuts=st.lists(st.integers(1, 7), min_size=1), ascii_only=st.booleans())
def test_value_counter_counts_each_value_however_the_text_is_split(
    value: Any, cuts: list[int], *, ascii_only: bool
) -> None:
    """Whatever strings contain, and wherever a piece ends: each value once, and an empty array or object twice."""
    text, counter, at = json.dumps(value, ensure_ascii=ascii_only).encode(), ValueCounter(), 0
    while at < len(text):
        size = cuts[at % len(cuts)]
        counter.add(text[at : at + size])
        at += size

    assert counter.count == values_of(value) + empties_of(value)


def receive(reader: BodyReader, chunks: list[bytes], **headers: str) -> str:
    """What a reader makes of a body."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def received() -> str:
        arriving = iter(messages)

        async def next_message() -> dict[str, Any]:
            return next(arriving)

        async with reader.received(request_with(next_message, **headers)) as body:
            return body.text()

    return asyncio.run(received())


def request_with(receive: Any = None, **headers: str) -> Request:
    """A request of which only headers and body matter."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw}, receive)


@pytest.fixture
def reader(tmp_path: Path) -> BodyReader:
    """A reader with small limits."""
    return BodyReader(10 * MEGABYTE, 60, tmp_path / "temp", max_values=10)


@pytest.mark.parametrize("size", [0, 10, 70_000, 5 * MEGABYTE])
def test_reader_returns_the_whole_body_and_leaves_no_file(reader: BodyReader, size: int) -> None:
    """In memory or in a file, byte for byte; no file has a name, and no space stays taken."""
    text = json.dumps({"a": "x" * size})
    pieces = [text[at : at + 50_000].encode() for at in range(0, len(text), 50_000)]

    assert receive(reader, pieces) == text
    assert reader.spooled_bytes == 0
    assert not list(reader.folder.rglob("*"))


def test_reader_refuses_one_value_more_than_the_limit(reader: BodyReader) -> None:
    """The limit is allowed; one more is refused before anything is parsed, with the limit in the sentence."""
    assert receive(reader, [json.dumps(list(range(9))).encode()])
    with pytest.raises(TooLarge, match=r"^The request's body must have at most 10 values\.$"):
        receive(reader, [json.dumps(list(range(10))).encode()])


def test_reader_refuses_a_body_larger_than_the_free_disk_space(
    reader: BodyReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is looked at before the body is written, and nothing is left of it."""
    monkeypatch.setattr(bodies, "free_bytes", lambda _folder: MEGABYTE)
    with pytest.raises(DiskFull, match="has no space for this request"):
        receive(reader, [b" " * 70_000], content_length=str(2 * MEGABYTE))
    assert receive(reader, [b" " * 70_000], content_length="70000")
    assert reader.spooled_bytes == 0


def test_reader_limits_the_sum_of_bodies_in_files(reader: BodyReader) -> None:
    """Beyond 16 of the largest, further ones are told to come back; small ones go on."""
    reader.spooled_bytes = 16 * reader.max_bytes - 100_000
    with pytest.raises(Unavailable, match="too many large requests"):
        receive(reader, [b" " * 70_000, b" " * 70_000])
    assert receive(reader, [b"{}"]) == "{}"
    assert reader.spooled_bytes == 16 * reader.max_bytes - 100_000


def test_only_complete_large_bodies_wait_for_a_slot(reader: BodyReader) -> None:
    """One is worked on at a time; neither small bodies nor those that are still arriving have a part in that."""

    async def work() -> tuple[int, bool]:
        inside, most, arriving = 0, 0, asyncio.Event()

        async def never() -> dict[str, Any]:
            arriving.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def hold(size: int) -> None:
            nonlocal inside, most
            body = iter([{"type": "http.request", "body": b" " * size, "more_body": False}])

            async def once() -> dict[str, Any]:
                return next(body)

            async with reader.received(request_with(once, content_length=str(size))):
                inside += size > MEGABYTE
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= size > MEGABYTE

        async def stall() -> None:
            async with reader.received(request_with(never, content_length="9000000")):
                raise AssertionError

        stalled = [asyncio.create_task(stall()) for _ in range(20)]
        await arriving.wait()
        await asyncio.gather(*(hold(2 * MEGABYTE) for _ in range(8)))
        async with reader.large_slots:
            await hold(1000)
        for each in stalled:
            each.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)
        return most, reader.large_slots.locked()

    assert asyncio.run(work()) == (1, False)
    assert reader.spooled_bytes == 0


@pytest.mark.parametrize(
    ("pace", "words"),
    [
        (Pace(0.05), "It must arrive within 0.05 seconds."),
        (Pace(0.05, 1e6), "It must arrive at 1000 kB per second or faster, after 0.05 seconds."),
    ],
)
def test_body_chunks_raises_when_a_body_is_too_slow(pace: Pace, words: str) -> None:
    """In all, or against the pace that its size allows."""

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read() -> FramepackError:
        with pytest.raises(BadRequest) as caught:
            async for _ in body_chunks(request_with(drip), 1000, "It", pace):
                pass
        return caught.value

    assert asyncio.run(read()).message == words


def test_pace_allows_more_time_for_more_bytes() -> None:
    """30 seconds, and a second more for every 50 kB that has arrived."""
    assert Pace(30, 50_000).allowed_seconds(0) == 30
    assert Pace(30, 50_000).allowed_seconds(5 * MEGABYTE) == 130
    assert Pace(30).allowed_seconds(5 * MEGABYTE) == 30


PINGS = """
import json, select, sys, time, requests

seconds = []
with requests.Session() as session:
    session.get(sys.argv[1])
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        before = time.monotonic()
        assert session.get(sys.argv[1], timeout=60).status_code == 200
        seconds.append(time.monotonic() - before)
print(json.dumps(seconds))
"""
"""Asks all the time, in a process of its own: threads that send bodies would delay it."""


@contextmanager
def watched(server: RestServer) -> Iterator[dict[str, list[float]]]:
    """Ask ``/ping`` all the time; yields its seconds, known at the end, and the server's memory in bytes."""
    found: dict[str, list[float]] = {"memory": []}
    stop, process = threading.Event(), psutil.Process(server.pid)

    def watch() -> None:
        while not stop.wait(0.005):
            found["memory"].append(process.memory_info().rss)

    command = [sys.executable, "-c", PINGS, f"{server.url}/ping"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pings:
        assert pings.stdout is not None
        assert pings.stdout.readline() == "ready\n"
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield found
        finally:
            stop.set()
            watcher.join()
            found["seconds"] = json.loads(pings.communicate()[0])


MILLIONS = {
    "keys": b"{" + b",".join(b'"k%d":0' % number for number in range(4_500_000)) + b"}",
    "objects": b'{"a":[' + b",".join([b"{}"] * 20_000_000) + b"]}",
    "numbers": b'{"a":[' + b",".join([b"1"] * 31_000_000) + b"]}",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server as a person starts it."""
    with RestServer(tmp_path_factory.mktemp("bodies")) as server:
        yield server


@pytest.mark.parametrize("kind", MILLIONS)
def test_six_bodies_with_millions_of_values_are_refused_in_little_memory(running: RestServer, kind: str) -> None:
    """Six bodies of 55 to 63 MB at once are refused at their first values; nobody else notices."""
    headers: dict[str, str | None] = {"Content-Type": "application/json"}
    with watched(running) as found, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: running.post(LOOP, headers=headers, data=MILLIONS[kind]), range(6)))

    assert {(each.status_code, each.json()["code"]) for each in answers} == {(413, "too_large")}
    assert f"at most {MAX_VALUES:,} values" in answers[0].json()["detail"]
    longest, largest = max(found["seconds"]) * 1000, max(found["memory"]) / MEGABYTE
    print(f"{kind}: {len(found['seconds'])} pings, longest {longest:.0f} ms; server {largest:.0f} MB")  # noqa: T201 - for docs/reliability.md
    assert largest < 500
    assert longest < 1000


def test_four_long_base64_bodies_are_accepted_in_bounded_memory(running: RestServer) -> None:
    """Four videos of 45 MB as base64, at once, with a thousand escapes each: all accepted, in bounded memory."""
    body = json.dumps({"video_base64": "A" * 60 * MEGABYTE}).replace("AAAAA", "A\\/AAA", 1000)
    headers: dict[str, str | None] = {"Content-Type": "application/json", "Prefer": "respond-async"}
    with watched(running) as found, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: running.post(LOOP, headers=headers, data=body), range(4)))

    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    assert max(found["memory"]) < 500 * MEGABYTE
    assert found["seconds"]


def half_sent(client: Client, path: str, length: int, start: bytes = b"{") -> socket.socket:
    """A connection that announces a body and sends its start only."""
    address = urlsplit(client.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=60)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + start)
    return connection


def test_incomplete_bodies_do_not_delay_other_requests(tmp_path: Path) -> None:
    """While fifty clients stop in the middle of 60 MB, a body of 2 MB is read and its job started."""
    with server_in_thread(tmp_path, HeldBackend()) as server:
        slow = [half_sent(server, LOOP, 60 * MEGABYTE) for _ in range(50)]
        try:
            server.start_job(LOOP, {"video_base64": "A" * 2 * MEGABYTE})
        finally:
            for each in slow:
                each.close()
        assert eventually(lambda: server.server.bodies.spooled_bytes == 0)


def test_a_disconnect_frees_the_space_of_an_incomplete_body(tmp_path: Path) -> None:
    """Half of a body that was on disk is gone with its client."""
    with server_in_thread(tmp_path, HeldBackend()) as server:
        slow = [
            half_sent(server, LOOP, 60 * MEGABYTE, b'{"a":"' + os.urandom(200_000).hex().encode()) for _ in range(5)
        ]
        assert eventually(lambda: server.server.bodies.spooled_bytes >= 5 * 400_000)
        for each in slow:
            each.close()
        assert eventually(lambda: server.server.bodies.spooled_bytes == 0)


_HUGE_WORDS = {
    "the name of a field": (FILTERS, '{"WORD": 1}'),
    "a preset": (FILTERS, '{"video_url": "https://e.com/v.mp4", "preset": "WORD"}'),
    "a number": (FILTERS, '{"video_url": "https://e.com/v.mp4", "brightness": "WORD"}'),
    "a choice": (LOOP, '{"video_url": "https://e.com/v.mp4", "loop_type": "WORD"}'),
    "a type of step": (
        "/postprocess/pipeline",
        '{"video_url": "https://e.com/v.mp4", "operations": [{"type": "WORD", "params": {}}]}',
    ),
}


@pytest.mark.parametrize("kind", _HUGE_WORDS)
def test_a_huge_word_is_refused_in_little_memory(running: RestServer, kind: str) -> None:
    """Neither suggestions, nor other spellings, nor messages look at 40 MB of it; three gigabytes were taken once."""
    path, text = _HUGE_WORDS[kind]
    body = text.replace("WORD", "a " * (20 * MEGABYTE)).encode()
    with watched(running) as found:
        answer = running.post(path, headers={"Content-Type": "application/json"}, data=body)

    assert answer.status_code == 400
    assert len(answer.content) < 2000
    assert max(found["memory"]) < 500 * MEGABYTE

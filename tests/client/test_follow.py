"""Following a job: through restarts of the server, cut connections, and proxies that let no events through."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.client import AsyncClient, Client, JobView, ServerUnreachable, Timing
from framepack.client.jobs import AsyncJobResult
from framepack.jobs.records import State
from framepack.rest.job_routes import JobView as ServersView
from tests.client.conftest import HASTY
from tests.support import rest_server
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.rest_server import KEY, RestServer

STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


def view(state: str, **more: object) -> bytes:
    """What a server says of a job."""
    fields = {"job_id": "j1", "operation": "loop", "state": state, "created": "2026-01-01T00:00:00Z", **more}
    return json.dumps(fields).encode()


DONE = view("completed", result={"success": True, "message": "done", "output_path": "/outputs/a.mp4"})


def event(name: str, data: bytes) -> bytes:
    """A server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def test_a_server_killed_while_a_job_is_followed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back under the same address, runs the job again, and the client gets the result of it."""
    port = rest_server.free_port()
    monkeypatch.setattr(rest_server, "free_port", lambda: port)
    clip = make_clip(tmp_path / "clip.mp4", Spec(size=(160, 120), count=300))
    with RestServer(tmp_path) as server, Client(server.url, KEY, timing=HASTY) as client:
        job = client.submit.filters(video=clip, denoise=10)
        views = []
        for each in job.follow():
            if each.progress and each.progress.frames_done and "killed" not in views:
                server.kill()
                views.append("killed")
                threading.Timer(0.3, server.start, kwargs={"ready": False}).start()
            views.append(each.state)
        assert views[-1] == "completed"
        assert views.index("killed") < len(views) - 1
        assert job.result().download(tmp_path / "large.mp4").stat().st_size > 0
        assert [each.state for each in client.jobs() if each.operation == "filters"] == ["completed"]


def test_a_stream_that_is_cut_is_opened_again() -> None:
    """Keep-alive comments are no events; what was seen before is seen again at most once."""
    streams = [
        [b": ping\n\n", event("progress", view("running", progress={"percent": 10.0}))],
        [event("progress", view("running", progress={"percent": 60.0})), b": ping\n\n", b"event: prog"],
        [event("end", DONE)],
    ]
    answers = iter(streams)
    with HttpServer(lambda _: Answer(body=next(answers), headers=STREAM)) as server:
        job = Client(server.url, timing=HASTY).job("j1")
        seen = [(each.state, each.progress.percent if each.progress else None) for each in job.follow()]

    assert seen == [("running", 10.0), ("running", 60.0), ("completed", None)]
    assert job.result().output_path == "/outputs/a.mp4"
    assert {received.path for received in server.requests} == {"/jobs/j1/events"}


@pytest.mark.parametrize("kind", ["text/html", "text/event-stream"])
def test_where_events_do_not_get_through_the_server_is_asked(kind: str) -> None:
    """A proxy answers with something else, or holds the events back; equal answers are one view."""
    asked = iter([view("queued"), view("running"), view("running"), DONE])

    def answer(received: Received) -> Answer:
        if received.path.endswith("/events"):
            return Answer(body=b"<html>", headers={"Content-Type": kind})
        return Answer(body=next(asked))

    with HttpServer(answer) as server:
        states = [each.state for each in Client(server.url, timing=HASTY).job("j1").follow()]

    assert states == ["queued", "running", "completed"]
    assert sum(received.path.endswith("/events") for received in server.requests) == 2


def test_a_stream_without_a_sign_of_life_counts_as_broken() -> None:
    """A connection that nobody has closed although the server is gone does not hold the client up for ever."""
    closing = threading.Event()

    def silent() -> Iterator[bytes]:
        yield event("progress", view("running"))
        closing.wait(20)

    bodies = iter([silent(), [event("end", DONE)]])
    with HttpServer(lambda _: Answer(body=next(bodies), headers=STREAM)) as server:
        timing = Timing(first_pause=0.01, silence=0.3)
        states = [each.state for each in Client(server.url, timing=timing).job("j1").follow()]
        closing.set()

    assert states == ["running", "completed"]


def test_more_jobs_can_be_followed_than_a_pool_has_connections() -> None:
    """Each holds one; the streams end only when all are open."""
    everybody = threading.Barrier(120)

    def body() -> Iterator[bytes]:
        everybody.wait(20)
        yield event("end", DONE)

    async def follow() -> list[AsyncJobResult]:
        async with AsyncClient(server.url, timing=HASTY) as client:
            return await asyncio.gather(*(client.job("j1").result() for _ in range(everybody.parties)))

    with HttpServer(lambda _: Answer(body=body(), headers=STREAM)) as server:
        assert len(asyncio.run(follow())) == len(server.requests) == everybody.parties


def test_a_server_that_stays_away_ends_the_patience() -> None:
    """The error says where and why."""
    with HttpServer(lambda _: Answer(body=[event("progress", view("running"))], headers=STREAM)) as server:
        job = Client(server.url, timing=Timing(patience=0.3, first_pause=0.05)).job("j1")
        views = job.follow()
        assert next(views).state == "running"
    with pytest.raises(ServerUnreachable, match=r"http://127.0.0.1:\d+ does not answer"):
        list(views)


def test_the_clients_view_of_a_job_is_the_servers() -> None:
    """Every field that the client declares exists, and so does every state."""
    assert set(JobView.model_fields) <= set(ServersView.model_fields)
    schema = JobView.model_json_schema()
    assert set(schema["properties"]["state"]["enum"]) == set(State)
    for state in State:
        assert JobView.model_validate_json(view(state)).is_final == state.is_final

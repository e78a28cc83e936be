"""Callbacks over the REST API: shown with their jobs, listed, delivered again, deleted, counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import HeldBackend, LocalServer, eventually, server_in_thread

LOOP = "/postprocess/loop"
CLIP = {"video_base64": "AAAA"}


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    """A receiver that refuses callbacks for good, until the test says otherwise."""
    with HttpServer({"/hook": Answer(410)}) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server whose jobs wait."""
    with server_in_thread(tmp_path, HeldBackend()) as running:
        yield running


def cancelled(server: LocalServer, receiver: HttpServer) -> str:
    """The id of a job that was cancelled while it waited, so the server itself reports it."""
    server.start_job(LOOP, CLIP)
    fields = {**CLIP, "callback_url": f"{receiver.url}/hook?key=canary", "callback_token": "canary-token"}
    job_id: str = server.post(LOOP, fields).json()["job_id"]
    assert server.delete(f"/jobs/{job_id}").status_code == 200
    return job_id


def callback_of(server: LocalServer, job_id: str) -> dict[str, Any]:
    """What the job says of its callback."""
    found: dict[str, Any] = server.job(job_id).get("callback", {})
    return found


def test_an_exhausted_callback_is_shown_delivered_again_and_counted(
    server: LocalServer, receiver: HttpServer
) -> None:
    """From the refusal to the delivery, everything is visible and nothing of it is secret."""
    job_id = cancelled(server, receiver)
    assert eventually(lambda: callback_of(server, job_id).get("state") == "exhausted")
    shown = callback_of(server, job_id)
    assert (shown["attempts"], shown["last_status"], shown["last_reason"]) == (1, 410, "HTTP 410")
    assert (shown["job_id"], shown["operation"], shown["receiver"]) == (job_id, "loop", receiver.url)
    assert server.get(f"/callbacks/{shown['id']}").json() == shown
    assert server.get("/callbacks").json() == {"success": True, "callbacks": [shown], "total_count": 1}
    assert server.get("/callbacks?state=exhausted").json()["callbacks"] == [shown]
    assert server.get("/callbacks?state=pending").json()["callbacks"] == []
    assert server.get("/callbacks?state=lost").status_code == 400

    receiver.answers = {"/hook": Answer(200)}
    again = server.post(f"/callbacks/{shown['id']}/redeliver", {})
    assert (again.status_code, again.json()["state"]) == (200, "pending")
    assert eventually(lambda: callback_of(server, job_id)["state"] == "delivered")
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == shown["id"]
    assert second.headers["Authorization"] == "Bearer canary-token"
    assert server.post(f"/callbacks/{shown['id']}/redeliver", {}).status_code == 409
    assert eventually(lambda: "framepack_callbacks_pending 0.0" in server.get("/metrics").text)
    metrics = server.get("/metrics").text
    for event in ("delivered", "failed_attempt", "exhausted"):
        assert f'framepack_callbacks_total{{event="{event}"}} 1.0' in metrics
    assert "framepack_callbacks_oldest_seconds 0.0" in metrics
    texts = [
        server.get(path).text for path in ("/callbacks", f"/callbacks/{shown['id']}", f"/jobs/{job_id}", "/metrics")
    ]
    assert not [text for text in texts if "canary" in text]


def test_a_pending_callback_is_counted_and_has_a_next_attempt(server: LocalServer, receiver: HttpServer) -> None:
    """A receiver that fails is attempted again; meanwhile the callback is pending and cannot be deleted."""
    receiver.answers = {"/hook": Answer(503, headers={"Retry-After": "3600"})}
    job_id = cancelled(server, receiver)
    assert eventually(lambda: "next_attempt" in callback_of(server, job_id))
    shown = callback_of(server, job_id)
    assert (shown["state"], shown["last_reason"]) == ("pending", "HTTP 503")
    assert eventually(lambda: "framepack_callbacks_pending 1.0" in server.get("/metrics").text)
    assert server.delete(f"/callbacks/{shown['id']}").status_code == 409


def test_an_exhausted_callback_can_be_deleted(server: LocalServer, receiver: HttpServer) -> None:
    """Then it is nowhere."""
    job_id = cancelled(server, receiver)
    assert eventually(lambda: callback_of(server, job_id).get("state") == "exhausted")
    name = callback_of(server, job_id)["id"]
    assert server.delete(f"/callbacks/{name}").json()["id"] == name
    assert server.get(f"/callbacks/{name}").status_code == 404
    assert server.get("/callbacks").json()["total_count"] == 0
    assert callback_of(server, job_id) == {}


@pytest.mark.parametrize("name", ["msg_x", "msg_job_0123456789ab", "..%2f..%2fjobs"])
def test_an_unknown_callback_is_404(server: LocalServer, name: str) -> None:
    """For every verb."""
    answers = [
        server.get(f"/callbacks/{name}"),
        server.delete(f"/callbacks/{name}"),
        server.post(f"/callbacks/{name}/redeliver", {}),
    ]
    assert {answer.status_code for answer in answers} == {404}

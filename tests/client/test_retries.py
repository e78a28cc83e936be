"""What may be tried again is, and nothing runs twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests

from framepack.client import ApiError, Client, ServerUnreachable, Timing, UnexpectedAnswer
from tests.client.conftest import HASTY
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.rest_server import KEY, RestServer, free_port

GOOD = Answer(body=b'{"success": true, "message": "saved"}')


def refusal(status: int, code: str, **headers: str) -> Answer:
    """An error of the server."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps({"detail": "One sentence.", "code": code}).encode(), named)


SOON = format_datetime(datetime.now(UTC) + timedelta(seconds=0.1), usegmt=True)
PASSING = {
    "queue full": refusal(429, "busy", Retry_After="0"),
    "starting": refusal(503, "unavailable", Retry_After=SOON),
    "store away": refusal(503, "storage_unavailable"),
    "a proxy without a server": Answer(502, b"<html>Bad Gateway</html>"),
    "a proxy that waited": Answer(504, b""),
    "a cut connection": Answer(raw=b""),
    "a cut answer": Answer(body=b'{"succ', headers={"Content-Length": "100"}),
}


@pytest.mark.parametrize("first", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again_with_the_same_key(first: Answer) -> None:
    """The server recognizes the repeated request by it."""
    answers = iter([first, first, GOOD])
    with HttpServer(lambda _: next(answers)) as server, Client(server.url, KEY, timing=HASTY) as client:
        assert client.save_filter_preset(name="look", settings={"blur": 1}).message == "saved"

    keys = {received.headers["Idempotency-Key"] for received in server.requests}
    assert (len(server.requests), len(keys)) == (3, 1)
    assert {received.body for received in server.requests} == {b'{"name":"look","settings":{"blur":1}}'}


LASTING = {
    "a wrong field": refusal(400, "invalid_field"),
    "weights that are missing": refusal(503, "model_unavailable", Retry_After="0"),
    "a source that failed": refusal(502, "source_failed"),
    "a defect": refusal(500, "internal_error"),
    "a pause beyond the patience": refusal(503, "unavailable", Retry_After="600"),
    "a redirect": Answer(301, headers={"Location": "https://example.com/"}),
}


@pytest.mark.parametrize("answer", LASTING.values(), ids=LASTING)
def test_what_does_not_pass_is_not_tried_again(answer: Answer) -> None:
    """The user hears of it at once."""
    with HttpServer(lambda _: answer) as server, Client(server.url, KEY, timing=HASTY) as client:
        with pytest.raises(ApiError) as raised:
            client.clear_temp()
    assert (raised.value.status, len(server.requests)) == (answer.status, 1)


def test_a_job_whose_answer_was_lost_runs_once(server: RestServer, clip: Path) -> None:
    """The connection is cut after the server has accepted the upload, and again the job; both are sent again."""
    cut: list[str] = []

    def passed_on(received: Received) -> Answer:
        names = ("X-API-Key", "Idempotency-Key", "Prefer", "Content-Type", "Accept")
        headers = {name: received.headers[name] for name in names if name in received.headers}
        answer = requests.request(
            received.method, server.url + received.path, data=received.body, headers=headers, timeout=60
        )
        if received.method == "POST" and received.path not in cut:
            cut.append(received.path)
            return Answer(raw=b"")
        return Answer(answer.status_code, answer.content, {"Content-Type": answer.headers["Content-Type"]})

    with HttpServer(passed_on) as proxy, Client(proxy.url, KEY, timing=HASTY) as client:
        known = {view.job_id for view in client.jobs()}
        assert client.loop(video=clip).output_filename.startswith("clip")
        new = [view for view in client.jobs() if view.job_id not in known]

    assert cut == ["/uploads", "/postprocess/loop"]
    assert sorted(view.operation for view in new) == ["loop", "upload"]


def test_an_own_idempotency_key_finds_the_same_job(client: Client, clip: Path) -> None:
    """A program that was restarted sends the same file again, and gets the job that it had started."""
    first = client.submit.loop(video=clip, num_loops=2, idempotency_key="order 4711")
    again = client.submit.loop(video=clip, num_loops=2, idempotency_key="order 4711")
    other = client.submit.loop(video=clip, num_loops=2)

    assert (first.id == again.id, first.id == other.id) == (True, False)
    assert first.result().output_path == again.result().output_path
    with pytest.raises(ApiError, match="was used for another request") as raised:
        client.submit.loop(video=clip, num_loops=3, idempotency_key="order 4711")
    assert (raised.value.code, raised.value.status) == ("bad_request", 400)


def test_a_wrong_address_is_reported_soon() -> None:
    """A server that has never answered is not waited for as long as one that restarts."""
    with Client(f"http://127.0.0.1:{free_port()}", timing=Timing(first_patience=0.1, first_pause=0.05)) as client:
        with pytest.raises(ServerUnreachable, match="does not answer"):
            client.list_models()
    with pytest.raises(ServerUnreachable, match="is not an http or https address"):
        Client("localhost:8000").list_models()
    with HttpServer(lambda _: Answer(body=b"<html>Welcome</html>")) as server:
        with pytest.raises(UnexpectedAnswer, match="does not answer as a server of this API"):
            Client(server.url).list_models()
    with HttpServer(lambda _: Answer(body=b'{"models": 5}')) as server:
        with pytest.raises(UnexpectedAnswer, match="models"):
            Client(server.url).list_models()


def test_no_patience_means_one_attempt() -> None:
    """Programs with retries of their own switch those of the client off."""
    with HttpServer(lambda _: refusal(503, "unavailable")) as server:
        with pytest.raises(ApiError, match="One sentence"):
            Client(server.url, timing=Timing(patience=0)).clear_temp()
    assert len(server.requests) == 1

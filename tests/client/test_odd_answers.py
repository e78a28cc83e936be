"""Whatever is answered or given, the user sees only exceptions of the client, each with one sentence."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from framepack.client import (
    ApiError,
    Client,
    ClientError,
    InvalidWebhook,
    JobFailed,
    UnexpectedAnswer,
    verify_webhook,
)
from tests.client.conftest import HASTY
from tests.support.http_server import Answer, HttpServer

STREAM = {"Content-Type": "text/event-stream"}
NO_GZIP = {"Content-Encoding": "gzip"}
ODD = {
    "an empty object": Answer(body=b"{}"),
    "a list": Answer(body=b"[]"),
    "an endless list": Answer(body=b"[" * 200_000),
    "a page": Answer(body=b"<html>"),
    "other types": Answer(body=b'{"jobs": null, "job_id": 7}'),
    "no gzip": Answer(body=b"junk", headers=NO_GZIP),
    "a broken event": Answer(body=b"data: {bad\n\n", headers=STREAM),
    "an event of another kind": Answer(body=b"data: []\n\n", headers=STREAM),
    "an event without fields": Answer(body=b"data: {}\n\n", headers=STREAM),
    "an event that is no gzip": Answer(body=b"junk", headers={**STREAM, **NO_GZIP}),
}
CALLS: dict[str, Callable[[Client], object]] = {
    "a job": lambda client: client.filters(video="https://a.invalid/b.mp4", preset="warm"),
    "submit": lambda client: client.submit.loop(video="https://a.invalid/b.mp4"),
    "view": lambda client: client.job("j1").view(),
    "follow": lambda client: list(client.job("j1").follow()),
    "jobs": lambda client: client.jobs(),
    "presets": lambda client: client.list_filter_presets(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_is_reported_at_once(answer: Answer, call: Callable[[Client], object]) -> None:
    """It is not asked for for ever, and no exception of another library gets through."""
    with HttpServer(lambda _: answer) as server, Client(server.url, timing=HASTY) as client:
        with pytest.raises(UnexpectedAnswer, match=r"\.$"):
            call(client)
    assert len(server.requests) <= 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"brightness": float("nan")}, "cannot be written as HTTP and JSON"),
        ({"preset": "half a pair \ud800"}, "cannot be written as HTTP and JSON"),
        ({"preset": object()}, "cannot be written as HTTP and JSON"),
        ({"idempotency_key": "ü"}, "Idempotency-Key must have no other characters"),
        ({"video": "a\0b"}, "is not the path of a file"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: dict[str, object], sentence: str) -> None:
    """Before anything is sent."""
    with HttpServer(lambda _: Answer()) as server, Client(server.url, timing=HASTY) as client:
        with pytest.raises(ClientError, match=sentence):
            client.filters(**{"video": "https://a.invalid/b.mp4", **given})  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="The client is closed"):
        client.jobs()
    assert server.requests == []


@pytest.mark.parametrize("key", ["schlüssel", "my-key\n"])
def test_a_key_that_is_no_header_is_not_shown(key: str) -> None:
    """As it is read from a file, with its line break."""
    with HttpServer(lambda _: Answer()) as server, Client(server.url, key, timing=HASTY) as client:
        with pytest.raises(ClientError, match="X-API-Key must have") as raised:
            client.jobs()
    assert (key in str(raised.value), server.requests) == (False, [])


def test_a_deletion_whose_answer_is_lost_has_succeeded() -> None:
    """The repeated request does not find the file any more; a file that never was is an error as before."""
    gone = Answer(404, b'{"detail": "The stored file does not exist.", "code": "not_found"}')
    answers = iter([Answer(raw=b""), gone, gone])
    with HttpServer(lambda _: next(answers)) as server, Client(server.url, timing=HASTY) as client:
        client.delete("/outputs/a.mp4")
        with pytest.raises(ApiError, match="does not exist"):
            client.delete("/outputs/a.mp4")


def test_answers_and_errors_can_be_copied_and_sent_to_another_process(client: Client, clip: Path) -> None:
    """A copy downloads from the same server; another process has a client of its own."""
    result = client.loop(video=clip)
    same, other = copy.deepcopy(result), pickle.loads(pickle.dumps(result))  # noqa: S301 - our own
    assert same.download(clip.with_name("same.mp4")).stat().st_size == result.output_file_size
    assert client.download(other, clip.with_name("other.mp4")).stat().st_size == result.output_file_size
    with pytest.raises(ClientError, match="use the client's own download"):
        other.download(clip.with_name("none.mp4"))
    with pytest.raises(JobFailed) as failed:
        client.loop(video="/outputs/uploads/nothing.mp4")
    with pytest.raises(ApiError) as refused:
        client.jobs(0)
    for error in (failed.value, refused.value):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    assert refused.value.field == "limit"


def test_the_longest_idempotency_key_is_one_with_a_file_too(client: Client, clip: Path) -> None:
    """The keys of the uploads are made from it."""
    first, again = (client.submit.loop(video=clip, idempotency_key="k" * 255) for _ in range(2))
    assert first.id == again.id
    assert first.result().output_path == again.result().output_path


@pytest.mark.parametrize(
    "header",
    [
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "²"},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-id": "\udcff"},
    ],
)
def test_headers_of_strangers_are_invalid(header: dict[str, str]) -> None:
    """Some web frameworks pass bytes on as halves of surrogate pairs."""
    given = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x", **header}
    with pytest.raises(InvalidWebhook):
        verify_webhook(b"{}", given, "secret")


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x1e", "\r"])
def test_signs_that_end_lines_elsewhere_are_a_part_of_an_event(sign: str) -> None:
    """As JSON allows all of them but the control characters, which it escapes."""
    fields = {"job_id": "j1", "operation": "loop", "state": "failed", "created": "2026-01-01T00:00:00Z"}
    view = {**fields, "result": {"error": f"a{sign}b", "code": "internal_error", "status": 500}}
    event = b"data: " + json.dumps(view, ensure_ascii=False).encode() + b"\n\n"
    pieces = [event[place : place + 7] for place in range(0, len(event), 7)]
    with HttpServer(lambda _: Answer(body=pieces, headers=STREAM)) as server, Client(server.url) as client:
        with pytest.raises(JobFailed) as failed:
            client.job("j1").result()
    assert str(failed.value) == f"a{sign}b"

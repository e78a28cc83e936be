"""``framepack callbacks``: what a cron job or a person does with callbacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framepack.cli.program import run
from framepack.runtime import Runtime
from framepack.settings import Settings
from tests.support.http_server import Answer, HttpServer
from tests.support.outbox import message
from tests.support.simulated_store import Clock


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that the command finds in its environment."""
    monkeypatch.setenv("FRAMEPACK_STORAGE", f"file:{tmp_path / 'outputs'}")
    monkeypatch.setenv("FRAMEPACK_ALLOWED_HOSTS", "127.0.0.1")
    return Settings()


def store_message(settings: Settings, server: HttpServer, job_id: str) -> str:
    """Put a message into the outbox and return its id."""
    clock = Clock()
    sent = message(job_id, clock)
    runtime = Runtime(settings)
    record = sent.record.with_changes(receiver=server.url, created=runtime.outbox.now())
    assert runtime.outbox.add(sent.model_copy(update={"url": f"{server.url}/hook?key=secret", "record": record}))
    return sent.id


def test_a_cron_job_delivers_what_is_due(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything arrives with one run, another run has nothing to do, and nothing secret is printed."""
    with HttpServer({"/hook": Answer(200)}) as server:
        ids = {store_message(settings, server, f"job-{number}") for number in range(9)}
        assert run(["callbacks", "list", "--state", "pending", "--json"]) == 0
        assert {each["id"] for each in json.loads(capsys.readouterr().out)} == ids
        assert run(["callbacks", "deliver"]) == 0
        assert run(["callbacks", "deliver"]) == 0
        assert {request.headers["webhook-id"] for request in server.requests} == ids
        assert len(server.requests) == len(ids)
        printed = capsys.readouterr()
        assert "9 callbacks delivered, 0 not" in printed.out
        assert "secret" not in printed.out + printed.err


def test_a_refused_callback_is_listed_and_delivered_again(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status says whether it was delivered."""
    with HttpServer({"/hook": Answer(410)}) as server:
        name = store_message(settings, server, "job")
        assert run(["callbacks", "deliver"]) == 1
        assert run(["callbacks", "list"]) == 0
        assert f"exhausted  {name}  loop -> {server.url}: 1 attempt, HTTP 410" in capsys.readouterr().out
        server.answers = {"/hook": Answer(200)}
        assert run(["callbacks", "redeliver", name]) == 0
        assert run(["callbacks", "redeliver", name]) == 1
        assert "The callback was delivered." in capsys.readouterr().err
        assert run(["callbacks", "redeliver", "nothing"]) == 1

"""Nothing secret in the log of server and worker, in answers, or in what is kept of ended jobs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.rest.logs import JOB_THREAD, JsonLines
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY, RestServer, eventually, inline

CANARY = "canary-0123456789"
WEBHOOK_SECRET = f"whsec-{CANARY}"
LINK_SECRET = f"link-{CANARY}-long-enough"
PRESIGNED = f"X-Amz-Signature={CANARY}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A file server, a failing one and a webhook receiver in one."""
    clip = make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=10)).read_bytes()
    answers = {
        "/clip.mp4": Answer(200, clip),
        "/forbidden.mp4": Answer(403),
        "/hook": Answer(200),
        "/down": Answer(500),
    }
    with HttpServer(answers) as running:
        yield running


def test_secrets_stay_secret(tmp_path: Path, source: HttpServer) -> None:
    """A presigned source, a password in an address, keys and secrets: in no line, no answer, no record of an end."""
    settings = {"webhook_secret": WEBHOOK_SECRET, "link_secret": LINK_SECRET, "log_level": "DEBUG"}
    with RestServer(tmp_path, api_keys=f"{KEY},{CANARY}-key", callback_attempts="1", **settings) as server:
        hook = {"callback_url": f"{source.url}/hook?token={CANARY}"}
        dead = {"callback_url": f"{source.url}/down?token={CANARY}"}
        answers = [server.get(f"/filters/presets?token={CANARY}"), server.get(f"/{'x' * 300}?{PRESIGNED}")]
        for url in (
            f"{source.url}/clip.mp4?{PRESIGNED}",
            f"{source.url}/forbidden.mp4?{PRESIGNED}",
            f"http://127.0.0.1:9/clip.mp4?{PRESIGNED}",
            f"http://user:{CANARY}@127.0.0.1:{source.port}/clip.mp4",
        ):
            answers.append(server.post("/postprocess/loop", {"video_url": url}))
            for callback in (hook, dead):
                told = server.post("/postprocess/loop", {"video_url": url, **callback})
                if told.status_code == 200:
                    server.wait_for(told.json()["job_id"])
                    answers.append(server.get(f"/jobs/{told.json()['job_id']}"))
        answers.append(server.get("/jobs", headers={"X-API-Key": f"{CANARY}-key"}))
        answers.append(server.get("/metrics"))
        assert any(answer.status_code == 200 for answer in answers[2:4])
        state = server.outputs / "state"
        assert eventually(lambda: not list((state / "job_inputs").glob("*")))
        kept = "".join(path.read_text() for path in state.rglob("*") if path.is_file())
        log = server.log
    assert '"path": "/postprocess/loop"' in log
    assert len(list((state / "jobs").glob("*"))) >= 6
    for place, text in {"log": log, "state": kept, **{a.url: a.text for a in answers}}.items():
        assert CANARY not in text, place


def test_every_line_is_json_with_the_jobs_id(tmp_path: Path, source: HttpServer) -> None:
    """Lines of the server and of its worker have one form, and those about a job say which."""
    with RestServer(tmp_path) as server:
        good = server.post("/postprocess/loop", {"video_base64": inline(_clip(tmp_path))})
        bad = server.post("/postprocess/loop", {"video_url": f"{source.url}/forbidden.mp4"})
        assert (good.status_code, bad.status_code) == (200, 502)
    lines = [json.loads(line) for line in server.log.splitlines()]
    requests = [line for line in lines if line["message"] == "request" and line["path"] == "/postprocess/loop"]
    assert [(line["job_id"], line["status"]) for line in requests] == [
        (good.headers["X-Job-Id"], 200),
        (bad.headers["X-Job-Id"], 502),
    ]
    failure = next(line for line in lines if line["logger"] == "framepack.dispatch")
    assert failure["job_id"] == bad.headers["X-Job-Id"]


def _clip(folder: Path) -> Path:
    return make_clip(folder / "clip.mp4", Spec(count=5))


def formatted(message: str, error: Exception | None = None, thread: str = "MainThread") -> dict[str, str]:
    """What the log shows."""
    info = None if error is None else (type(error), error, None)
    record = logging.LogRecord("a", logging.INFO, "", 0, message, None, info)
    record.threadName = thread
    line: dict[str, str] = json.loads(JsonLines().format(record))
    return line


def test_queries_and_passwords_are_left_out() -> None:
    """Wherever an address stands in a line or in an error; the rest of the line stays."""
    line = formatted("got http://h/a.mp4?sig=secret&b=1, then 'http://me:secret@h/b?c' in \"ftp://x:secret@y\"")
    assert "secret" not in line["message"]
    assert line["message"].startswith("got http://h/a.mp4?... then 'http://...@h/b?c'")
    assert formatted("what now? a = b")["message"] == "what now? a = b"
    shown = formatted("no", OSError("refused: /a.mp4?X-Amz-Signature=secret"))
    assert "secret" not in json.dumps(shown)
    assert "refused: /a.mp4" in shown["exception"]


def test_a_jobs_thread_names_its_job() -> None:
    """Lines that are written in a job's thread carry its id."""
    assert formatted("hello", thread=f"{JOB_THREAD}abc")["job_id"] == "abc"
    assert "job_id" not in formatted("hello")

"""Nothing secret in the log of server and worker, in answers, or in what is kept of ended jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY, RestServer, eventually, inline
from tests.support.short_pauses import short_pauses

CANARY = "canary-0123456789"
WEBHOOK_SECRET = f"whsec-{CANARY}"
LINK_SECRET = f"link-{CANARY}-long-enough"
PRESIGNED = f"X-Amz-Signature={CANARY}"
SOON = {"framepack.outbox.schedule": {"PAUSES_SECONDS": [0.0, 0.3, *[3600.0] * 8]}}
"""The second attempt of a callback comes soon, the third one does not."""


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


def test_secrets_are_in_no_log_line_answer_or_record(tmp_path: Path, source: HttpServer) -> None:
    """These are presigned URLs, passwords in URLs, API keys and signing secrets."""
    settings = {"webhook_secret": WEBHOOK_SECRET, "link_secret": LINK_SECRET, "log_level": "DEBUG"}
    server = RestServer(tmp_path, api_keys=f"{KEY},{CANARY}-key", **settings)
    server.environment |= short_pauses(tmp_path, SOON)
    with server:
        token = {"callback_token": f"token-{CANARY}"}
        hook = {"callback_url": f"{source.url}/hook?token={CANARY}", **token}
        dead = {"callback_url": f"{source.url}/down?token={CANARY}", **token}
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
        assert eventually(lambda: {each["attempts"] for each in callbacks(server)} == {1, 2})
        answers += [server.get("/callbacks"), server.get(f"/callbacks/{callbacks(server)[0]['id']}")]
        assert any(answer.status_code == 200 for answer in answers[2:4])
        state = server.outputs / "state"
        assert eventually(lambda: not list((state / "job_inputs").glob("*")))
        pending = state / "outbox" / "pending"  # like an input, it has what the delivery needs
        paths = [path for path in state.rglob("*") if path.is_file()]
        assert any(CANARY in path.read_text() for path in paths if pending in path.parents)
        assert all(path.stat().st_mode & 0o077 == 0 for path in paths if pending in path.parents)
        kept = "".join(path.read_text() for path in paths if pending not in path.parents)
        log = server.log
    assert '"path": "/postprocess/loop"' in log
    assert len(list((state / "jobs").glob("*"))) >= 6
    for place, text in {"log": log, "state": kept, **{a.url: a.text for a in answers}}.items():
        assert CANARY not in text, place


def callbacks(server: RestServer) -> list[dict[str, Any]]:
    """All callbacks, as the server lists them."""
    found: list[dict[str, Any]] = server.get("/callbacks").json()["callbacks"]
    return found


def test_every_log_line_is_json_and_each_job_has_a_start_and_an_end_line(tmp_path: Path, source: HttpServer) -> None:
    """Lines of the server and of its worker process have the same format."""
    clip, down = inline(_clip(tmp_path)), {"callback_url": f"{source.url}/down?token={CANARY}"}
    with RestServer(tmp_path, storag="misspelled") as server:
        good = server.start_job("/postprocess/loop", {"video_base64": clip})
        server.wait_for(good)
        bad = server.post("/postprocess/loop", {"video_url": f"{source.url}/forbidden.mp4"}).headers["X-Job-Id"]
        wrong = server.post("/postprocess/loop", {"video_base64": "bm90IGEgdmlkZW8=", **down}).json()["job_id"]
        server.wait_for(wrong)
        assert eventually(lambda: server.job(wrong)["callback"]["attempts"])
        assert server.post("/postprocess/loop", {"loop_count": 2}).status_code == 400
    lines = [json.loads(line) for line in server.log.splitlines()]

    assert [each["message"] for each in lines if "FRAMEPACK_STORAG " in each["message"]] == [
        "FRAMEPACK_STORAG is not a setting and is ignored; did you mean FRAMEPACK_STORAGE?"
    ]
    jobs = [each for each in lines if each["logger"] == "framepack.jobs"]
    assert [(each["job_id"], each["state"], each["level"]) for each in jobs] == [
        (good, "running", "INFO"),
        (good, "completed", "INFO"),
        (bad, "running", "INFO"),
        (bad, "failed", "WARNING"),
        (wrong, "running", "INFO"),
        (wrong, "failed", "INFO"),
    ]
    assert {each["operation"] for each in jobs} == {"loop"}
    [output] = server.outputs.rglob("*.mp4")
    ended = jobs[1]
    assert (ended["attempts"], ended["output_bytes"]) == (1, output.stat().st_size)
    assert 0 <= ended["queued_seconds"] < 60
    assert 0 < ended["run_seconds"] < 60
    assert (jobs[3]["code"], jobs[3]["error"]) == (
        "source_failed",
        "The source answered with HTTP status 403 instead of 200.",
    )
    assert jobs[5]["code"] == "invalid_media"
    undelivered = [each for each in lines if each["logger"] == "framepack.callback"]
    assert undelivered
    assert {(each["level"], each["job_id"], each["status"]) for each in undelivered} == {("WARNING", wrong, 500)}
    attempt = f"job {wrong}: attempt 1 to deliver the callback to {source.url} failed: HTTP 500; next attempt at "
    assert undelivered[0]["message"].startswith(attempt)
    [refused] = [each for each in lines if each.get("status") == 400]
    assert (refused["code"], refused["path"]) == ("invalid_field", "/postprocess/loop")


def _clip(folder: Path) -> Path:
    return make_clip(folder / "clip.mp4", Spec(count=5))

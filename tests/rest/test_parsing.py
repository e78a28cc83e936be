"""How often a request is parsed, and its callback URL checked, on its way to the worker."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from framepack.api.schemas import Request
from framepack.callback import Callbacks
from framepack.job import Job
from framepack.jobs.backends.worker_process import ProgressThrottle, WorkerProcess
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import HeldBackend, LocalServer, inline
from tests.support.runs import bench

CALLBACK = "http://127.0.0.1:9/hook"


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often requests were parsed, and callback URLs looked up, in this process."""
    found: Counter[str] = Counter()
    parse, check = Request.parse.__func__, Callbacks.check  # type: ignore[attr-defined]

    def counting_parse(cls: type[Request], fields: dict[str, Any], place: str = "") -> Any:
        found["parsed"] += 1
        return parse(cls, fields, place)

    def counting_check(self: Callbacks, request: Request) -> None:
        found["checked"] += 1
        check(self, request)

    monkeypatch.setattr(Request, "parse", classmethod(counting_parse))
    monkeypatch.setattr(Callbacks, "check", counting_check)
    return found


def test_an_operation_run_by_the_server_is_parsed_once(server: LocalServer, counts: Counter[str]) -> None:
    """The dispatcher in the server process parses it."""
    assert server.get("/filters/presets").status_code == 200
    assert counts["parsed"] == 1


def test_a_job_is_parsed_and_checked_once_before_it_is_accepted(
    server: LocalServer, backend: HeldBackend, counts: Counter[str]
) -> None:
    """The host name of its callback URL is resolved once."""
    answer = server.post("/postprocess/loop", {"video_base64": "AAAA", "callback_url": CALLBACK})
    assert answer.json()["processing"] is True
    backend.wait_for(answer.json()["job_id"])
    assert counts == {"parsed": 1, "checked": 1}


def test_a_worker_process_does_not_check_the_callback_url_again(tmp_path: Path, counts: Counter[str]) -> None:
    """It parses the fields from the store once. The address is checked again only at delivery."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=3))
    messages = io.BytesIO()
    worker = WorkerProcess(bench(tmp_path).runtime, messages)
    message = {"id": "1", "operation": "loop", "fields": {"video_base64": inline(source), "callback_url": CALLBACK}}
    worker._run(message, worker._jobs.setdefault("1", Job("1")), ProgressThrottle(lambda _progress: None))

    answers = [
        found["answer"] for line in messages.getvalue().splitlines() if "answer" in (found := json.loads(line))
    ]
    assert answers[0]["success"] is True
    assert counts == {"parsed": 1}

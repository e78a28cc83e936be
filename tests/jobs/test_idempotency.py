"""A repeated request with an Idempotency-Key does nothing twice and gets the answer of the first one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.requests import Request

from framepack.rest.idempotency import repeatable
from framepack.storage.keys import Key
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import HeldBackend, LocalServer, eventually, inline, server_in_thread

CLIP = {"video_base64": "AAAA"}
LOOP = "/postprocess/loop"
KEY: dict[str, str | None] = {"Idempotency-Key": "order 1"}
PRESETS = "/workflow/presets"
PRESET = {"name": "mine", "preset_data": {"active_steps": ["Filters"], "params": {"brightness": 5}}}


@pytest.fixture
def server(backend: HeldBackend, tmp_path: Path) -> Iterator[LocalServer]:
    """A server with a real light lane."""
    with server_in_thread(tmp_path, backend) as running:
        yield running


def test_saves_are_not_repeated(server: LocalServer, tmp_path: Path) -> None:
    """100 equal saves at once make one file and get one answer."""
    clip = inline(make_clip(tmp_path / "clip.mp4", Spec(count=3)))
    body = {"video_base64": clip, "custom_name": "once"}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: server.post("/postprocess/save", body, headers=KEY), range(100)))
    assert [answer.status_code for answer in answers] == [200] * 100
    assert {answer.json()["filename"] for answer in answers} == {"once.mp4"}
    assert len(list((tmp_path / "outputs").rglob("once*.mp4"))) == 1


def test_requests_that_run_in_the_server_are_not_repeated(server: LocalServer, backend: HeldBackend) -> None:
    """Presets, deletions and questions to the worker answer again as they did, also when all has changed since."""
    backend.answer = {"success": True, "message": "unloaded"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", PRESETS, PRESET),
        ("DELETE", f"{PRESETS}/mine", None),
        ("POST", "/postprocess/autosave", {"enabled": True}),
        ("POST", "/model/unload", None),
        ("DELETE", "/frames/none", None),
    ]
    first = [server.ask(*each, headers=KEY) for each in asked]
    assert [answer.status_code for answer in first] == [200, 200, 200, 200, 404]
    backend.answer = {"success": False}
    again = [server.ask(*each, headers=KEY) for each in asked]
    assert [(answer.status_code, answer.json()) for answer in again] == [
        (answer.status_code, answer.json()) for answer in first
    ]
    assert len(backend.asked) == 1
    assert "mine" not in server.get(PRESETS).text
    other = server.post(PRESETS, {**PRESET, "name": "other"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (400, "bad_request")


def test_uploads_are_not_repeated(server: LocalServer, tmp_path: Path) -> None:
    """Equal uploads keep one file; another file under the same key is refused."""

    def upload(content: bytes) -> requests.Response:
        return server.ask("POST", "/uploads", headers=KEY, files={"file": ("a.mp4", content, "video/mp4")})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: upload(b"video"), range(8)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    assert len(list((tmp_path / "outputs" / "uploads").iterdir())) == 1
    assert upload(b"other").status_code == 400


def test_a_route_without_support_refuses_a_key(server: LocalServer) -> None:
    """It does not ignore it silently."""
    answer = server.ask("DELETE", "/jobs/none", headers=KEY)
    assert (answer.status_code, answer.json()["detail"]) == (400, "This route does not support Idempotency-Key.")


def test_an_answer_is_remembered_after_a_restart(tmp_path: Path) -> None:
    """With its status, and with the inline file read from the store again; a deleted file is named in a warning."""
    key = Key("postprocessed_output/temp_processing/a.mp4")
    backend = HeldBackend()
    with server_in_thread(tmp_path, backend) as server, ThreadPoolExecutor() as pool:
        server.server.runtime.storage.put_bytes(key, b"video")
        video = base64.b64encode(b"video").decode()
        answer = {"success": True, "output_path": f"/outputs/{key}", "output_video_base64": video}
        asking = pool.submit(server.post, LOOP, CLIP, headers=KEY)
        assert eventually(lambda: backend.held)
        next(iter(backend.held.values())).finish(**answer, results=[dict(answer)])
        first = asking.result()
        preset = server.post(PRESETS, PRESET, headers=KEY)
        assert preset.status_code == 200
    with server_in_thread(tmp_path, HeldBackend()) as server:
        again = server.post(LOOP, CLIP, headers=KEY)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert "output_video_base64" not in server.job(again.headers["X-Job-Id"])["result"]
        assert server.post(PRESETS, PRESET, headers=KEY).json() == preset.json()
        server.server.runtime.storage.delete(key)
        late = server.post(LOOP, CLIP, headers=KEY).json()
        assert "output_video_base64" not in late
        assert late["warnings"] == ["The file of this result was deleted, so it is not inline."]


def test_ids_belong_to_api_keys_and_cannot_be_computed(server: LocalServer, tmp_path: Path) -> None:
    """The same key of two API keys, or in two deployments, stands for two jobs."""

    def job_id(api_key: str, of: LocalServer) -> str:
        headers = [(b"idempotency-key", b"k"), (b"x-api-key", api_key.encode())]
        found = asyncio.run(repeatable(Request({"type": "http", "headers": headers}), "loop", CLIP, of.server))
        assert found is not None
        return found.job_id

    with server_in_thread(tmp_path / "other", HeldBackend()) as other:
        ids = [job_id("a", server), job_id("b", server), job_id("a", other)]
    assert len(set(ids)) == 3
    assert job_id("a", server) == ids[0]

"""A job's model is loaded beside the download of its source."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.networks import tiny_compact
from tests.support.runs import bench

STEPS = [
    {"type": "filters", "params": {"contrast": 1.1}},
    {"type": "upscale", "params": {"model": "tiny", "scale_factor": 2}},
]


@pytest.mark.parametrize(
    ("endpoint", "fields"), [("upscale", {"model": "tiny", "scale_factor": 2}), ("pipeline", {"operations": STEPS})]
)
def test_the_model_is_loaded_once_while_the_source_is_on_its_way(
    endpoint: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    """A source that arrives only after the model was loaded does not hold up the job for ever."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    worker = bench(tmp_path, device="cpu", allowed_hosts=("127.0.0.1",))
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=3)).read_bytes()
    cache = worker.runtime.models.cache

    def when_loaded(_request: Received) -> Answer:
        deadline = time.monotonic() + 60
        while not cache.loads and time.monotonic() < deadline:
            time.sleep(0.01)
        return Answer(body=clip) if cache.loads else Answer(404)

    with HttpServer(when_loaded) as server:
        answer = worker.run(endpoint, video_url=f"{server.url}/clip.mp4", **fields)

    assert answer["success"], answer
    assert cache.loads == 1


def test_a_model_that_cannot_be_loaded_ahead_is_reported_by_the_job(tmp_path: Path) -> None:
    """The job ends with the sentence of its own attempt."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=3))

    answer = bench(tmp_path, device="cpu").run("upscale", source, model="RealESRNet_x4plus")

    assert answer["code"] == "model_unavailable", answer

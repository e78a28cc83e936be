"""The examples of docs/client.md work, one after another."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from framepack.client import Client
from framepack.media.read.probe import probe
from tests.client.conftest import SECRET
from tests.support.control_plane import ROOT
from tests.support.rest_server import KEY, RestServer

QUICK = {
    'upscale(video="video.mp4", scale_factor=2': 'loop(video="video.mp4", num_loops=2',
    '{"type": "upscale", "params": {"scale_factor": 2}}': '{"type": "loop"}',
    'interpolate(video="video.mp4", fps_mode="2x")': 'filters(video="video.mp4", blur=1)',
}
"""Operations of the examples, and others that need no weights."""
MESSAGE = '{"operation": "loop", "job_id": "j1", "success": true, "timestamp": "2026-01-01T00:00:00"}'


def test_the_examples_work(
    client: Client, server: RestServer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share their names, as in one program."""
    monkeypatch.chdir(tmp_path)
    for name in ("video.mp4", "first.mp4", "second.mp4"):
        shutil.copy(clip, name)
    Path("previews").mkdir()
    now = datetime.now(UTC)
    signature = Webhook(SECRET).sign("msg_1", now, MESSAGE)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    names: dict[str, Any] = {"client": client, "body": MESSAGE, "headers": headers, "__name__": "example"}
    text = (ROOT / "docs" / "client.md").read_text()
    for long, quick in {
        **QUICK,
        '"whsec_..."': repr(SECRET),
        "http://localhost:8000": server.url,
        "my-key": KEY,
    }.items():
        assert long in text
        text = text.replace(long, quick)
    first, *others = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(first, "first", "exec"), {})  # noqa: S102 - our own documentation
    exec(compile("\n".join(others), "others", "exec"), names)  # noqa: S102
    names["client"].close()

    assert probe(Path("large.mp4")).frame_count == 36
    assert [path.suffix for path in Path("previews").iterdir()] == [".gif"]
    assert probe(Path("joined.mp4")).frame_count == 24
    assert names["message"].job_id == "j1"

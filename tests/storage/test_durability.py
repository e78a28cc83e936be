"""What was acknowledged is there: after ``kill -9`` at any moment, and when many processes write at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.s3_server import S3Server

ROOT = Path(__file__).parents[2]
KILLS = 200


def run(*arguments: str) -> dict[str, int]:
    """Run the program that forks the writers; its counts."""
    command = [sys.executable, "-m", "tests.support.killed_writers", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
    )
    return {str(name): int(count) for name, count in json.loads(done.stdout).items()}


def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path) -> None:
    """200 writers of presets are killed: every step they were told is done is there, and nothing is torn."""
    counts = run("kill", str(tmp_path / "store"), str(KILLS), "7")

    assert counts["kills"] == KILLS
    assert counts["steps"] > KILLS
    assert counts["wrong"] == 0
    assert counts["partial_writes"] == 0, "a young file may have a living writer on another machine"
    assert counts["left_after"] == 0, "what killed writers left unfinished is removed when it is old"


@pytest.mark.parametrize(
    ("kind", "each"), [("file", 500), ("s3", 100), pytest.param("s3", 500, marks=pytest.mark.slow)]
)
def test_all_saves_of_sixteen_processes_arrive(
    kind: str, each: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """So many presets of each kind, 500 being the most there may be, each with its own numbers."""
    settings = {"storage": f"file:{tmp_path / 'store'}"}
    if kind == "s3":
        server: S3Server = request.getfixturevalue("server")
        settings = {
            "storage": f"s3://{request.getfixturevalue('bucket')}",
            "bucket_endpoint_url": server.endpoint_url,
            "bucket_access_key_id": server.access_key,
            "bucket_secret_access_key": server.secret_key,
        }

    counts = run("crowd", json.dumps(settings), str(each), "16")

    assert counts == {"failed": 0, "right": 2 * each, "filters": each + 6, "workflows": each + 1}

"""What editors and type checkers know of the client: fields, their types, and the answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.control_plane import ROOT

PROGRAM = """\
from pathlib import Path

from framepack.client import AsyncClient, Client

def right(client: Client, path: Path) -> None:
    result = client.upscale(video=path, scale_factor=2, tile_size=256, callback_url=None)
    reveal_type(result.output_file_size)
    result.download("large.mp4")
    job = client.submit.pipeline(video=result, operations=[{"type": "loop", "params": {"num_loops": 2}}])
    reveal_type(job.result().operations_completed)
    with path.open("rb") as file:
        reveal_type(client.join(videos=[file, "https://example.com/a.mp4", client.upload(path)]).download(path))
    for view in job.follow():
        reveal_type(view.state)

async def right_too(client: AsyncClient) -> None:
    reveal_type(await (await client.submit.filters(video="a.mp4", blur=1)).result())

def wrong(client: Client) -> None:
    client.upscale(video="a.mp4", scale=2)
    client.upscale(video="a.mp4", scale_factor="2")
    client.upscale(scale_factor=2)
    client.upscale(video=5)
    client.export(video="a.mp4", format="AVI")
    client.pipeline(video="a.mp4", operations=[{"type": "loop", "params": {"blur": 1}}])
    client.pipeline(video="a.mp4", operations=[{"type": "blur"}])
    client.analyze(video="a.mp4").analysis.lenght
    client.submit.list_models()
    client.job("1").result().download(5)
"""
REVEALED = [
    "int",
    "list[framepack.client.generated.answers.CompletedStep]",
    "pathlib.Path",
    "Literal['queued'] | Literal['running'] | Literal['completed'] | Literal['failed'] | Literal['cancelled']",
    "framepack.client.generated.answers.AsyncVideoResult",
]


def test_a_strict_type_checker_knows_fields_and_answers(tmp_path: Path) -> None:
    """Every right line is accepted with the right types, and every wrong line is an error."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]
    checked = subprocess.run([*command, program], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = checked.stdout.splitlines()
    revealed = [line.partition('Revealed type is "')[2][:-1] for line in lines if "Revealed type" in line]
    errors = {int(line.split(":")[1]) for line in lines if " error: " in line}
    first_wrong = PROGRAM.splitlines().index("def wrong(client: Client) -> None:") + 2

    assert revealed == REVEALED, checked.stdout
    assert errors == set(range(first_wrong, len(PROGRAM.splitlines()) + 1)), checked.stdout

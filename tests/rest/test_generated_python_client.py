"""A Python client that is generated from the OpenAPI document is complete, typed, and works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framepack.answer import failure
from framepack.errors import Busy
from framepack.media.read.probe import probe
from framepack.registry import discover
from tests.contract.answers_check import simplest_answer
from tests.support.clients import PACKAGE, check_python, example, generate_python, needs_generator, run_python
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import KEY, RestServer

pytestmark = needs_generator

DECODE = f"""
import json, sys
from {PACKAGE}.models import JobView, Problem
from {PACKAGE}.models.error_code import ErrorCode

for answer in json.load(open("answers.json")):
    job = {{"job_id": "4f1c", "operation": "any", "state": "completed", "created": "2025-11-28T20:15:01Z"}}
    result = JobView.from_dict({{**job, "result": answer}}).result
    print(json.dumps([type(result).__name__, result.to_dict()]))
print(json.dumps([repr(Problem.from_dict({{"detail": "...", "code": code}}).code) for code in ("busy", "new_one")]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server with a worker."""
    with RestServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def made(server: RestServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client, of which nothing is missing."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_bytes(server.get("/openapi.json").content)

    said = generate_python(document, folder)

    assert "warning" not in said.lower(), said
    assert "unable" not in said.lower(), said
    return folder


def test_the_client_of_the_documentation_is_typed_and_works(server: RestServer, made: Path) -> None:
    """It uploads, starts a pipeline, waits, reads typed fields, downloads, and shows the code of an error."""
    make_clip(made / "video.mp4", Spec(size=(96, 64), count=12))
    good = example("python").replace("http://localhost:8000", server.url).replace("my-key", KEY)
    programs = {
        "good.py": good,
        "unknown.py": good.replace("cinematic", "unknown"),
        "refused.py": good.replace("max_width=640", "max_width=1"),
    }
    for name, text in programs.items():
        assert text == good or name != "good.py"
        (made / name).write_text(text)

    checked = check_python("-p", PACKAGE, folder=made)
    also_checked = check_python("good.py", folder=made)
    done = {name: run_python(name, folder=made) for name in programs}

    assert checked.returncode == 0, checked.stdout
    assert also_checked.returncode == 0, also_checked.stdout
    assert done["good.py"].returncode == 0, done["good.py"].stderr
    size_bytes, _, steps = done["good.py"].stdout.partition(" ")
    assert int(size_bytes) == (made / "result.mp4").stat().st_size
    assert steps.strip() == "['filters', 'export']"
    assert (probe(made / "result.mp4").width, probe(made / "result.mp4").length) == (96, 12)
    assert done["unknown.py"].stderr.startswith("not_found: operations[0] (filters): Filter preset")
    assert done["refused.py"].stderr.startswith("invalid_field: operations[1].params.max_width must be between")


def test_a_client_with_wrong_types_is_refused(made: Path) -> None:
    """A parameter of another step, a step without its type, and a missing body."""
    wrong = [
        'models.UpscaleStep("upscale", models.FiltersParams())',
        'models.UpscaleStep("filters")',
        'models.UpscaleParams(tile_size="large")',
        "pipeline.sync(client=client)",
    ]
    lines = [
        f"from {PACKAGE} import AuthenticatedClient, models",
        f"from {PACKAGE}.api.postprocess import pipeline",
        'client = AuthenticatedClient("http://localhost", "key")',
        *wrong,
    ]
    (made / "wrong.py").write_text("\n".join(lines))

    checked = check_python("wrong.py", folder=made)

    found = {int(line.split(":")[1]) for line in checked.stdout.splitlines() if ": error:" in line}
    assert found == set(range(4, 4 + len(wrong))), checked.stdout


def test_the_result_of_every_job_becomes_the_answer_of_its_operation(made: Path) -> None:
    """So does a failure; nothing is lost. Codes that nobody knows yet are text."""
    models = {each.response.__name__: each.response for each in discover() if each.is_job}
    answers: dict[str, dict[str, Any]] = {name: simplest_answer(model) for name, model in models.items()}
    answers["Failure"] = failure(Busy("Try again later."))
    (made / "answers.json").write_text(json.dumps(list(answers.values())))

    done = run_python("-c", DECODE, folder=made)

    assert done.returncode == 0, done.stderr
    *found, codes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _ in found] == list(answers)
    assert [content for _, content in found] == list(answers.values())
    assert codes == ["<ErrorCode.BUSY: 'busy'>", "'new_one'"]


def test_a_client_sends_only_what_it_was_given(made: Path) -> None:
    """Otherwise the defaults of filters would win over those of a preset."""
    request = 'FiltersRequest(video_url="https://example.com/a.mp4", preset="cinematic")'

    done = run_python("-c", f"from {PACKAGE}.models import *; print({request}.to_dict())", folder=made)

    assert done.stdout == "{'preset': 'cinematic', 'video_url': 'https://example.com/a.mp4'}\n", done.stderr

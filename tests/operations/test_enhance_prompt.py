"""``enhance_prompt`` from the job's input to the answer, with a tiny model of the real class and no network."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from framepack.job import Job
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.runs import Bench, bench
from tests.support.tiny_language import granite


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved repository."""
    return granite(tmp_path_factory.mktemp("models") / "tiny-granite", endings=range(3, 18))


@pytest.fixture
def worker(tmp_path: Path, folder: Path) -> Bench:
    """A worker whose enhancer is a folder."""
    return bench(tmp_path, enhancer_model=str(folder), device="cpu", allowed_hosts=("127.0.0.1",))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is an error."""

    def refuse(_socket: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_the_documented_answer(worker: Bench) -> None:
    """Both prompts and the message, offline; the model stays loaded under its folder's name."""
    answer = worker.run("/enhance-prompt", prompt="a cat playing with yarn", seed=1)

    assert answer == {
        "success": True,
        "original_prompt": "a cat playing with yarn",
        "enhanced_prompt": answer["enhanced_prompt"],
        "message": "Prompt enhanced successfully",
    }
    texts = [worker.run("enhance_prompt", prompt="a cat", seed=seed)["enhanced_prompt"] for seed in range(4)]
    assert max(map(len, texts)) > 20
    assert all(text == " ".join(text.split()) and not re.search(r'["\[\]]', text) for text in texts)
    assert worker.run("enhance_prompt", prompt="a cat playing with yarn", seed=1) == answer
    assert worker.run("ai_status")["enhancer"] == {"loaded": True, "model_name": "tiny-granite"}


def test_unloading_frees_the_weights(worker: Bench) -> None:
    """Nothing keeps a tensor of the model, and the next request loads it again."""
    worker.run("enhance_prompt", prompt="a cat", seed=1)
    (held,) = worker.runtime.models.cache.status("enhancer")

    (left,) = worker.runtime.models.cache.unload("enhancer")

    assert left.freed_bytes == held.memory_bytes > 50_000
    assert worker.run("enhance_prompt", prompt="a cat", seed=1)["success"]
    assert worker.runtime.models.cache.loads == 2


def test_sections_keep_their_times(worker: Bench) -> None:
    """Each section is written out within its brackets."""
    prompt = "[1s: a cat][2.5s-4s: a dog]"

    answer = worker.run("enhance_prompt", prompt=prompt, seed=1)

    assert answer["original_prompt"] == prompt
    found = re.fullmatch(r"\[1s: ([^\[\]]+)\]\[2\.5s-4s: ([^\[\]]+)\]", answer["enhanced_prompt"])
    assert found
    assert found[1] != "a cat"
    assert found[2] != "a dog"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "prompt is required."),
        ({"prompt": ""}, "prompt must be text of 1 to 10,000 characters, not ''."),
        ({"prompt": " \n\t"}, "prompt must be text of 1 to 10,000 characters, not ' \\n\\t'."),
        ({"prompt": "a" * 10_001}, "prompt must be text of 1 to 10,000 characters, not "),
        ({"prompt": 5}, "prompt must be a valid string"),
        ({"prompt": "half \ud800 a pair"}, "prompt must be text without broken characters"),
        ({"prompt": "a cat", "seed": -1}, "seed must be "),
        ({"prompt": "a cat", "seed": 2**32}, "seed must be "),
        ({"prompt": "[1s: a]" * 61}, "Too many timed sections in prompt: 61 (maximum 60)."),
    ],
)
def test_bad_input_is_refused(worker: Bench, fields: dict[str, Any], sentence: str) -> None:
    """In one sentence, before the model is loaded."""
    answer = worker.run("enhance_prompt", **fields)

    assert (answer["status"], answer["code"]) == (400, "invalid_field")
    assert answer["error"].startswith(sentence)
    assert worker.runtime.models.cache.loads == 0


def test_a_missing_model_is_explained(tmp_path: Path) -> None:
    """503, with the command that gets it and no path of the host."""
    answer = bench(tmp_path, hub_cache_dir=tmp_path).run("enhance_prompt", prompt="a cat")

    assert (answer["status"], answer["code"]) == (503, "model_unavailable")
    assert "framepack weights fetch ibm-granite/granite-3.3-2b-instruct" in answer["error"]
    assert str(tmp_path) not in answer["error"]


def test_a_cancelled_job_ends(worker: Bench) -> None:
    """As soon as a token has been written."""
    job = Job()
    job.report = lambda _progress: job.cancel()

    assert worker.run("enhance_prompt", prompt="a cat", seed=7, job=job)["code"] == "cancelled"


def test_the_end_is_reported(worker: Bench) -> None:
    """The callback carries the parameters and the text itself, for there is no file."""
    received: list[Received] = []

    def receive(request: Received) -> Answer:
        received.append(request)
        return Answer(200)

    with HttpServer({"/hook": receive}) as server:
        answer = worker.run("enhance_prompt", prompt="a cat", seed=7, callback_url=f"{server.url}/hook")

    body = json.loads(received[0].body)
    assert (body["operation"], body["success"]) == ("enhance_prompt", True)
    assert body["metadata"] == {"prompt": "a cat", "seed": 7, "enhanced_prompt": answer["enhanced_prompt"]}

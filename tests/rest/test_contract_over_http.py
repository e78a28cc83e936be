"""The API document over real HTTP: every route, every example, and every kind of error."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from framepack.registry import discover
from framepack.rest.started import NOTE
from tests.contract.contract_types import Endpoint, JsonObject
from tests.contract.deviations import NOT_BUILT_YET
from tests.contract.document import ENDPOINTS
from tests.contract.document_common import ERRORS, IMMEDIATE_REPLY, IMMEDIATE_REPLY_FIELDS
from tests.contract.probes import refused_requests, request_with
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread

BUILT = [endpoint for endpoint in ENDPOINTS if endpoint.name not in NOT_BUILT_YET]
OPERATIONS = {operation.name: operation for operation in discover()}
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
WITH_CALLBACK = [endpoint for endpoint in BUILT if endpoint.callback is not None]
SHOWN = [(endpoint, example) for endpoint in BUILT for example in (endpoint.examples or (endpoint.valid_request,))]


def named(case: object) -> str | None:
    """The part of a test's name that a case gives it."""
    return case.name if isinstance(case, Endpoint) else None


@pytest.fixture(scope="module")
def backend() -> HeldBackend:
    """Keeps what it is given."""
    return HeldBackend(slots=1000)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, backend: HeldBackend) -> Iterator[LocalServer]:
    """A server."""
    with server_in_thread(tmp_path_factory.mktemp("contract"), backend, backend, max_queued_jobs=1000) as client:
        runtime = client.server.runtime
        runtime._policy = replace(runtime._policy, resolve=resolved)
        yield client


def resolved(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    """The address of every host of the document's examples, so that nobody is asked for it."""
    assert host in {"example.com", "myapp.com"}
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]


def call(client: LocalServer, endpoint: Endpoint, request: JsonObject, **headers: str) -> Any:
    """Ask as the document shows it: each field in its place."""
    places = {param.path: param.location for param in endpoint.params if param.is_top_level}
    in_path = {name: quote(str(value)) for name, value in request.items() if places.get(name) == "path"}
    query = {name: value for name, value in request.items() if places.get(name) == "query"}
    body = {name: value for name, value in request.items() if places.get(name, "body") == "body"}
    path = endpoint.path.format(**in_path)
    if endpoint.method != "POST":
        query, body = {**query, **body}, {}
    return client.ask(endpoint.method, path, body or None, headers=dict(headers), params=query)


def detail(answer: Any) -> str:
    """The sentence of an error, which has the documented form."""
    body = answer.json()
    assert set(body) == {"detail", "code"}, body
    assert isinstance(body["detail"], str)
    return str(body["detail"])


@pytest.mark.parametrize("endpoint", BUILT, ids=named)
def test_every_documented_route_exists_with_its_method(client: LocalServer, endpoint: Endpoint) -> None:
    """Another method is refused with 405 and the allowed ones."""
    path = endpoint.path.format(**{param.path: "x" for param in endpoint.params if param.location == "path"})

    answer = client.ask("PATCH", path)

    assert answer.status_code == 405
    assert endpoint.method in answer.headers["allow"]
    assert detail(answer)


@pytest.mark.parametrize(("endpoint", "example"), SHOWN, ids=named)
def test_every_documented_request_is_accepted(
    client: LocalServer, backend: HeldBackend, endpoint: Endpoint, example: JsonObject
) -> None:
    """A job gets exactly the fields of the example. Operations on the store are answered immediately."""
    backend.answer = {"success": True, "message": "asked"}
    needs = OPERATIONS[endpoint.name].needs
    if needs == "store" and "video_url" in example:  # it would be fetched
        example = {**example, "video_url": "/outputs/not_there.mp4"}

    answer = call(client, endpoint, example, Prefer="respond-async")

    if needs == "store":
        assert answer.status_code == 200 or (answer.status_code == 404 and "not" in detail(answer)), answer.text
    elif needs == "process":
        assert (answer.status_code, answer.json()) == (200, backend.answer)
        assert backend.asked[-1] == (endpoint.name, example)
    else:
        assert answer.status_code == (200 if "callback_url" in example else 202), answer.text
        assert backend.wait_for(answer.json()["job_id"]).item.read_fields() == example
        assert backend.wait_for(answer.json()["job_id"]).item.operation == endpoint.name


@pytest.mark.parametrize("endpoint", [each for each in BUILT if OPERATIONS[each.name].needs == "worker"], ids=named)
def test_every_documented_answer_reaches_the_client(
    client: LocalServer, backend: HeldBackend, endpoint: Endpoint
) -> None:
    """The worker's answer is not changed."""
    shown = BY_NAME[endpoint.answers_like or endpoint.name].response or {"success": True, "message": "done"}
    known = set(backend.held)
    request = {name: value for name, value in endpoint.valid_request.items() if name != "callback_url"}
    job_id = call(client, endpoint, request, Prefer="respond-async").json()["job_id"]
    assert job_id not in known

    backend.wait_for(job_id).finish(**shown)

    ended = client.wait_for(job_id)
    assert (ended["state"], ended["result"]["success"]) == ("completed", shown["success"])


@pytest.mark.parametrize("endpoint", WITH_CALLBACK, ids=named)
def test_a_request_with_callback_gets_the_documented_immediate_answer(
    client: LocalServer, endpoint: Endpoint
) -> None:
    """It is sent before the job has run."""
    request = {**endpoint.valid_request, "callback_url": IMMEDIATE_REPLY["callback_url"]}

    answer = call(client, endpoint, request)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert {field.path for field in IMMEDIATE_REPLY_FIELDS} <= set(body)
    assert {name: body[name] for name in ("success", "processing", "callback_url", "note")} == {
        name: IMMEDIATE_REPLY[name] for name in ("success", "processing", "callback_url", "note")
    }
    assert body["message"].endswith(" started in background")
    assert body["note"] == NOTE
    if endpoint.name == "upscale":
        assert body["message"] == IMMEDIATE_REPLY["message"]


@pytest.mark.parametrize("endpoint", BUILT, ids=named)
def test_invalid_requests_are_400_and_create_no_job(client: LocalServer, endpoint: Endpoint) -> None:
    """This holds for requests with a callback, too."""
    jobs = client.get("/jobs").json()["total_count"]
    wrong = [{**endpoint.valid_request, "no_such_field": 1}]
    for param in endpoint.params:
        wrong += [each for each in refused_requests(endpoint, param) if all(each.values())][:1]
        if param.location == "body" and param.is_top_level:
            wrong.append(request_with(endpoint, param, {"no": ["such", "type"]}))
    in_path = [param.path for param in endpoint.params if param.location == "path"]

    for request in wrong:
        if not all(name in request for name in in_path):
            continue
        answer = call(client, endpoint, json.loads(json.dumps(request)))
        assert answer.status_code == 400, (request, answer.text)
        assert detail(answer)
    assert client.get("/jobs").json()["total_count"] == jobs


def test_errors_have_their_documented_words_and_status(client: LocalServer, tmp_path: Path) -> None:
    """The API document prints them."""
    by_status = {error.status: error.body["detail"] for error in ERRORS}

    assert detail(client.post("/postprocess/upscale", {})) == by_status[400]
    assert detail(client.get("/jobs", headers={"X-API-Key": None})) == by_status[401]
    missing = client.delete("/workflow/presets/my_preset")
    assert missing.status_code == 404
    assert "my_preset" in detail(missing)
    assert "not found" in detail(missing)


@pytest.mark.parametrize("endpoint", BUILT, ids=named)
def test_every_documented_route_without_a_key_is_401(client: LocalServer, endpoint: Endpoint) -> None:
    """The error message is the documented one."""
    path = endpoint.path.format(**{param.path: "x" for param in endpoint.params if param.location == "path"})

    answer = client.ask(endpoint.method, path, headers={"X-API-Key": None})

    assert (answer.status_code, detail(answer)) == (401, "Invalid or missing API key")

"""The OpenAPI page tells the truth: it is valid, has every documented example, and the server keeps to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from framepack import __version__
from framepack.answer import Answer
from framepack.jobs.backends.base import WorkItem
from framepack.registry import discover
from framepack.rest.app import create_app
from framepack.rest.auth import ApiKeys
from framepack.rest.openapi import openapi_document
from framepack.rest.server import Server
from framepack.runtime import Runtime
from framepack.settings import Settings
from tests.contract.answers_check import given_answer, simplest_answer
from tests.contract.contract_types import Endpoint, JsonObject
from tests.contract.deviations import NOT_BUILT_YET
from tests.contract.document import ENDPOINTS
from tests.support.rest_server import KEY, HeldBackend, LocalServer, server_in_thread

OPERATIONS = {operation.name: operation for operation in discover()}
BUILT = [endpoint for endpoint in ENDPOINTS if endpoint.name not in NOT_BUILT_YET]
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
EXAMPLES = [(endpoint, example) for endpoint in BUILT for example in endpoint.examples if endpoint.method == "POST"]


def possible_answers() -> dict[str, Answer]:
    """What a worker answers: the document's example answer of each operation, or of one like it, or the simplest."""
    given = {name: simplest_answer(operation.response) for name, operation in OPERATIONS.items()}
    shown = {each.name: BY_NAME[each.answers_like or each.name].response for each in BUILT}
    given |= {name: given_answer(OPERATIONS[name].response, each) for name, each in shown.items() if each}
    return {name: {**answer, "message": "done"} if "message" in answer else answer for name, answer in given.items()}


@dataclass
class AnsweringBackend(HeldBackend):
    """A backend whose jobs are done at once, with possible answers."""

    answers: dict[str, Answer] = field(default_factory=possible_answers)

    async def run(self, item: WorkItem) -> Answer:
        """Its answer."""
        return self.answers[item.operation]

    async def query(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Its answer."""
        return self.answers[operation]


def nowhere(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    """An address that may not be reached, for every host that a made-up request names."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port))]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server whose workers answer at once."""
    with server_in_thread(
        tmp_path_factory.mktemp("openapi"), AnsweringBackend(slots=4), AnsweringBackend()
    ) as client:
        runtime = client.server.runtime
        runtime._policy = replace(runtime._policy, resolve=nowhere)
        yield client


@pytest.fixture(scope="module")
def page(client: LocalServer) -> JsonObject:
    """The page as it is served."""
    document: JsonObject = client.get("/openapi.json").json()
    return document


def test_the_document_names_version_and_license(page: JsonObject) -> None:
    """They are in `info`."""
    info = page["info"]

    assert (info["title"], info["version"]) == ("FramePack worker", __version__)
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert "`X-API-Key`" in info["description"]


def test_the_document_is_valid_openapi_3_1(page: JsonObject) -> None:
    """The official schema is the reference."""
    assert page["openapi"].startswith("3.1")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(page)] == []


def test_every_operation_is_in_the_document(page: JsonObject) -> None:
    """Each has its route, name and summary, and every reference can be resolved."""
    for name, operation in OPERATIONS.items():
        route = page["paths"][operation.path][operation.method.lower()]
        assert (route["operationId"], route["summary"]) == (name, operation.summary)
    ids = [route["operationId"] for path in page["paths"].values() for route in path.values()]
    assert len(ids) == len(set(ids))
    assert {*references(page)} <= {f"#/components/schemas/{name}" for name in page["components"]["schemas"]}


def references(value: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


@pytest.mark.parametrize(
    ("endpoint", "example"), EXAMPLES, ids=lambda case: case.name if isinstance(case, Endpoint) else None
)
def test_every_example_of_the_api_page_is_in_the_document(
    page: JsonObject, endpoint: Endpoint, example: JsonObject
) -> None:
    """It can be tried on the documentation page."""
    body = page["paths"][endpoint.path]["post"]["requestBody"]["content"]["application/json"]

    assert example in [each["value"] for each in body["examples"].values()]


def test_every_example_is_accepted_by_its_operation() -> None:
    """At least 15 examples are documented."""
    assert len(EXAMPLES) >= 15
    for operation in OPERATIONS.values():
        for example in operation.examples.values():
            operation.request.parse(dict(example))


def test_from_preset_has_its_documented_query_parameters(page: JsonObject) -> None:
    """The API document shows them in the query."""
    documented = {param.path for param in BY_NAME["pipeline_from_preset"].params if param.location == "query"}
    parameters = page["paths"]["/postprocess/pipeline/from-preset"]["post"]["parameters"]

    assert documented <= {each["name"] for each in parameters if each["in"] == "query"}


def test_every_route_declares_the_key_except_health_and_files(page: JsonObject) -> None:
    """Files also accept a signed link."""
    securities = {
        f"{method} {path}": route["security"]
        for path, routes in page["paths"].items()
        for method, route in routes.items()
    }
    special = {route: security for route, security in securities.items() if security != [{"ApiKey": []}]}

    assert special == {
        "get /health": [],
        "get /ping": [],
        "get /ready": [],
        "get /outputs/{path}": [{"ApiKey": []}, {"SignedLink": []}],
        "get /jobs/{job_id}/events": [{"ApiKey": []}, {"SignedLink": []}],
    }


def the_page() -> JsonObject:
    """The page of a server that nobody started, to make tests of it."""
    server = Server(Runtime(Settings(storage="file:never-made")), HeldBackend(), HeldBackend())
    return openapi_document(create_app(server, ApiKeys.of([KEY])), server.runtime.dispatcher.registry)


load_all_checks()
schema = schemathesis.openapi.from_dict(the_page())


@schema.exclude(path="/jobs/{job_id}/events").parametrize()
@hypothesis.settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_every_generated_request_gets_a_documented_answer(client: LocalServer, case: schemathesis.Case[Any]) -> None:
    """Whatever is sent, no answer is a failure of ours, and each has a documented status and shape.

    The page cannot say that one of two sources must be given, so not all that it allows is accepted; and it does not
    say of every field that null and empty text mean nothing, so those that it does not allow may be accepted.
    """
    unsure: list[Any] = [positive_data_acceptance]
    sent = json.dumps([case.body, case.query], default=str)
    if "null" in sent or '""' in sent:
        unsure.append(negative_data_rejection)
    case.call_and_validate(client.url, headers={"X-API-Key": KEY}, excluded_checks=unsure)

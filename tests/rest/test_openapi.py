"""The OpenAPI page tells the truth: it is valid, has every documented example, and the server keeps to it."""

from __future__ import annotations

import json
import re
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
import pytest
import schemathesis
from jsonschema_rs import Draft202012Validator
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from framepack import __version__
from framepack.answer import Answer
from framepack.errors import MethodNotAllowed, published
from framepack.job import Progress, update_of
from framepack.jobs.backends.base import WorkItem
from framepack.registry import discover
from framepack.rest.app import create_app
from framepack.rest.auth import ApiKeys
from framepack.rest.openapi.document import openapi_document
from framepack.rest.server import Server
from framepack.runtime import Runtime
from framepack.settings import Settings
from tests.contract.answers_check import given_answer, simplest_answer
from tests.contract.contract_types import Endpoint, JsonObject
from tests.contract.deviations import NOT_BUILT_YET
from tests.contract.document import ENDPOINTS
from tests.support.control_plane import ROOT
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


def test_the_document_names_version_license_authors_and_servers(client: LocalServer, page: JsonObject) -> None:
    """The authors are those of the package; the server is its own, and the public one if there is one."""
    info, project = page["info"], tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (info["title"], info["version"]) == ("FramePack worker", __version__)
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert [info["contact"]] == project["authors"]
    assert "`X-API-Key`" in info["description"]
    assert [each["url"] for each in page["servers"]] == ["/", client.url]
    assert [each["url"] for each in the_page()["servers"]] == ["/"]


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


def test_every_reference_leads_somewhere_and_every_schema_is_used(page: JsonObject) -> None:
    """Nobody has to read what no request and no answer has."""
    parts = {
        f"#/components/{kind}/{name}": part
        for kind, each in page["components"].items()
        for name, part in each.items()
        if kind != "securitySchemes"
    }
    used, found = set[str](), {*references({**page, "components": {}})}
    while found:
        used |= found
        found = {ref for name in found for ref in references(parts[name])} - used

    assert {*references(page)} <= set(parts)
    assert {name for name in parts if "/schemas/" in name} <= used


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
    """It can be tried on the documentation page: in the body, or in the query if the API page has it there."""
    route = page["paths"][endpoint.path]["post"]
    in_body = route["requestBody"]["content"]["application/json"].get("examples", {})
    in_query: dict[str, JsonObject] = {}
    for parameter in route.get("parameters", ()):
        for title, each in parameter.get("examples", {}).items():
            in_query.setdefault(title, {})[parameter["name"]] = each["value"]

    assert example in [*(each["value"] for each in in_body.values()), *in_query.values()]


def test_every_example_is_accepted_by_its_operation() -> None:
    """At least 15 examples are documented."""
    assert len(EXAMPLES) >= 15
    for operation in OPERATIONS.values():
        for example in operation.examples.values():
            operation.request.parse(dict(example))


def test_from_preset_has_its_documented_query_parameters(page: JsonObject) -> None:
    """The API document shows them in the query; the name is required there, so it is not in the body."""
    documented = {param.path: param for param in BY_NAME["pipeline_from_preset"].params if param.location == "query"}
    route = page["paths"]["/postprocess/pipeline/from-preset"]["post"]
    parameters = {each["name"]: each for each in route["parameters"] if each["in"] == "query"}
    body, schemas = route["requestBody"], page["components"]["schemas"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]

    assert set(documented) <= set(parameters)
    assert {name for name, each in parameters.items() if each["required"]} == {"preset_name"}
    assert documented["preset_name"].required
    assert not body["required"]
    assert set(schemas[name]["properties"]) == set(parameters) - {"preset_name"}


def test_a_request_that_needs_a_field_or_a_source_needs_a_body(page: JsonObject) -> None:
    """What has one source says so."""
    bodies = {
        name: page["paths"][operation.path][operation.method.lower()].get("requestBody")
        for name, operation in OPERATIONS.items()
    }

    assert {name for name, body in bodies.items() if body and not body["required"]} == {"pipeline_from_preset"}
    for name in ("upscale", "pipeline", "caption_image"):
        kind = "image" if name == "caption_image" else "video"
        sources = [{"required": [f"{kind}_{each}"]} for each in ("base64", "url")]
        assert bodies[name]["required"]
        assert bodies[name]["content"]["application/json"]["schema"]["oneOf"] == sources


def test_the_result_of_a_job_is_one_of_the_answers_or_a_failure(page: JsonObject) -> None:
    """An answer comes before those that require only a part of what it has."""
    schemas = page["components"]["schemas"]
    names = [each["$ref"].rpartition("/")[2] for each in schemas["JobResult"]["anyOf"]]
    jobs = {each.response.__name__ for each in OPERATIONS.values() if each.is_job}

    assert {*jobs, "Failure", "Upload"} <= set(names)
    assert schemas["JobView"]["properties"]["result"]["anyOf"][0] == {"$ref": "#/components/schemas/JobResult"}
    for later, name in enumerate(names):
        for earlier in names[:later]:
            assert not set(schemas[earlier]["required"]) < set(schemas[name]["required"]), (earlier, name)


def test_every_progress_update_is_described(page: JsonObject) -> None:
    """Frames, and the tokens of language models."""
    described = set(page["components"]["schemas"]["JobProgress"]["properties"])
    units = {"frames", "tokens"}

    for unit in units:
        update = update_of(Progress(1, None if unit == "tokens" else 2, 1.0, 0.5, unit), "the store")
        assert set(update) <= described
    assert all(match in units for match in re.findall(r'unit="(\w+)"', all_source()))


def all_source() -> str:
    """The text of all modules."""
    return "\n".join(each.read_text() for each in (ROOT / "framepack").rglob("*.py"))


def test_every_field_and_every_parameter_is_described(page: JsonObject) -> None:
    """Pages and clients show these sentences."""
    fields = {
        f"{name}.{field}": each
        for name, schema in page["components"]["schemas"].items()
        for field, each in schema.get("properties", {}).items()
    }
    parameters = {
        f"{path} {each['name']}": each
        for path, routes in page["paths"].items()
        for route in routes.values()
        for each in route.get("parameters", ())
    }

    assert [name for name, each in (fields | parameters).items() if not each.get("description")] == []


def test_every_bound_is_a_keyword_of_json_schema(page: JsonObject) -> None:
    """What pydantic cannot express it writes as it is, such as "ge", which no client knows."""
    assert re.findall(r'"(?:ge|le|gt|lt|min_length|max_length)":', json.dumps(page)) == []


def test_known_error_codes_are_listed_and_others_are_allowed(page: JsonObject) -> None:
    """Every code of ours, with its meaning."""
    schemas = page["components"]["schemas"]

    assert schemas["ErrorCode"]["enum"] == [error.code for error in published()]
    assert all(f"`{error.code}`: " in schemas["ErrorCode"]["description"] for error in published())
    for model in ("Problem", "Failure"):
        options = schemas[model]["properties"]["code"]["anyOf"]
        assert options == [{"$ref": "#/components/schemas/ErrorCode"}, {"type": "string"}]


def test_responses_declare_their_headers(page: JsonObject) -> None:
    """Those of an accepted job, of a job's result, and of errors that pass."""
    upscale = page["paths"]["/postprocess/upscale"]["post"]["responses"]
    responses = page["components"]["responses"]

    assert set(upscale["202"]["headers"]) == {"X-Job-Id", "Location", "Preference-Applied"}
    assert set(upscale["200"]["headers"]) == {"X-Job-Id"}
    assert {name for name, each in responses.items() if "Retry-After" in each.get("headers", {})} == {
        "Error429",
        "Error503",
    }
    assert upscale["429"] == {"$ref": "#/components/responses/Error429"}


def test_a_webhook_describes_what_receivers_get(page: JsonObject) -> None:
    """Both examples are as the schema says, and are about the same operation."""
    content = page["webhooks"]["jobEnded"]["post"]["requestBody"]["content"]["application/json"]
    examples = {name: each["value"] for name, each in content["examples"].items()}
    schema = {**content["schema"], "components": page["components"]}

    assert set(examples) == {"Success", "Failure"}
    assert examples["Success"]["success"]
    assert examples["Success"]["output_url"]
    assert not examples["Failure"]["success"]
    assert examples["Failure"]["code"] == "source_failed"
    for each in examples.values():
        assert Draft202012Validator(schema).is_valid(each), each
    assert not Draft202012Validator(schema).is_valid({**examples["Failure"], "success": True})


def test_every_route_declares_the_key_except_health_and_files(page: JsonObject) -> None:
    """Files and events also accept a signed link, and metrics a password."""
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
        "get /metrics": [{"ApiKey": []}, {"Password": []}],
    }


def the_page() -> JsonObject:
    """The page of a server that nobody started, to make tests of it."""
    server = Server(Runtime(Settings(storage="file:never-made")), HeldBackend(), HeldBackend())
    return openapi_document(create_app(server, ApiKeys.of([KEY])), server.runtime.dispatcher.registry, None)


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
    """Whatever is sent, no answer is a failure of ours, and each has a status and shape documented for its route.

    The page cannot say that one of two sources must be given, so not all that it allows is accepted; and it does not
    say of every field that null and empty text mean nothing, so those that it does not allow may be accepted.
    """
    unsure: list[Any] = [positive_data_acceptance]
    sent = json.dumps([case.body, case.query], default=str)
    if "null" in sent or '""' in sent:
        unsure.append(negative_data_rejection)
    response = case.call_and_validate(client.url, headers={"X-API-Key": KEY}, excluded_checks=unsure)
    if response.status_code != MethodNotAllowed.status:  # other methods of the path
        assert str(response.status_code) in case.operation.definition.raw["responses"], response.text

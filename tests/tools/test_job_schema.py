"""The JSON schema of RunPod jobs allows what the worker understands, and refuses what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from framepack.errors import FramepackError
from framepack.processing.operation import AnyOperation
from framepack.registry import discover
from tests.contract.contract_types import Endpoint
from tests.contract.deviations import NOT_BUILT_YET
from tests.contract.document import ENDPOINTS
from tests.contract.probes import allowed_values, refused_requests, request_with
from tests.support.control_plane import ROOT
from tools.job_schema import job_schema

REGISTRY = discover()
SCHEMA = json.loads(job_schema(REGISTRY, "Generated."))
VALIDATOR = Draft202012Validator(SCHEMA)
BUILT = [endpoint for endpoint in ENDPOINTS if endpoint.name not in NOT_BUILT_YET]
EVERY_ENDPOINT = pytest.mark.parametrize("endpoint", BUILT, ids=lambda endpoint: endpoint.name)


def is_valid(**fields: Any) -> bool:
    """Whether the schema allows a job with these fields as its input."""
    return VALIDATOR.is_valid({"input": fields})


def is_understood(operation: AnyOperation, fields: dict[str, Any]) -> bool:
    """Whether the worker understands them."""
    try:
        operation.request.parse(fields)
    except FramepackError:
        return False
    return True


def test_the_jobs_of_the_repository_are_valid() -> None:
    """The one for the SDK's own test, those of the Hub, and the examples of all endpoints."""
    tests = json.loads((ROOT / ".runpod" / "tests.json").read_text())["tests"]
    jobs = [json.loads((ROOT / "test_input.json").read_text()), *({"input": each["input"]} for each in tests)]
    jobs += [{"input": {"endpoint": each.name, **example}} for each in REGISTRY for example in each.examples.values()]

    assert len(jobs) >= 18
    assert [job for job in jobs if not VALIDATOR.is_valid(job)] == []
    assert VALIDATOR.is_valid({**jobs[0], "id": "4f1c", "webhook": "https://example.com", "policy": {"ttl": 1}})


@EVERY_ENDPOINT
def test_an_endpoint_has_the_names_that_the_worker_knows(endpoint: Endpoint) -> None:
    """Its name, its route with the method, and its route alone if there is only one method."""
    operation, request = REGISTRY.find(endpoint.name), endpoint.valid_request
    has_only = sum(each.path == operation.path for each in REGISTRY) == 1

    assert is_valid(endpoint=operation.name, **request)
    assert is_valid(endpoint=f"{operation.method} {operation.path}", **request)
    assert is_valid(endpoint=operation.path, method=operation.method, **request)
    assert is_valid(endpoint=operation.path, **request) == has_only
    assert not is_valid(endpoint=operation.path, method="PUT", **request)
    assert not is_valid(endpoint="unknown", **request)
    assert not is_valid(**request)


@EVERY_ENDPOINT
def test_fields_are_as_the_worker_understands_them(endpoint: Endpoint) -> None:
    """At their bounds they are valid, and outside of them, or missing, or unknown, they are not."""
    operation = REGISTRY.find(endpoint.name)
    allowed = [
        request_with(endpoint, param, value) for param in endpoint.params for value in allowed_values(endpoint, param)
    ]
    refused = [each for param in endpoint.params for each in refused_requests(endpoint, param)]

    for request in allowed:
        assert is_valid(endpoint=endpoint.name, **request) == is_understood(operation, request), request
    for request in refused:
        assert not is_valid(endpoint=endpoint.name, **request), request
    assert not is_valid(endpoint=endpoint.name, no_such_field=1, **endpoint.valid_request)
    assert is_valid(endpoint=endpoint.name, **dict.fromkeys(optional(operation)), **endpoint.valid_request)


def optional(operation: AnyOperation) -> set[str]:
    """The fields of an operation that may be null, without its sources, of which one must be given."""
    fields = operation.request.model_fields.items()
    unset = {name for name, field in fields if not field.is_required()} - {*operation.request.sources}
    return unset - {name for each in BUILT if each.name == operation.name for name in each.valid_request}


def test_an_input_is_told_apart_by_its_endpoint() -> None:
    """The discriminator leads every name to one input."""
    choice = SCHEMA["properties"]["input"]
    mapping = choice["discriminator"]["mapping"]

    assert choice["discriminator"]["propertyName"] == "endpoint"
    assert {each["$ref"] for each in choice["oneOf"]} == set(mapping.values())
    assert {each.name: f"#/$defs/{each.name}_input" for each in REGISTRY}.items() <= mapping.items()
    assert {ref.rpartition("/")[2] for ref in mapping.values()} <= set(SCHEMA["$defs"])

"""The generated modules have every operation, every field and every answer, and hide nothing of the clients."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import BaseModel

from framepack.client import AsyncClient, Client, answers, requests
from framepack.client.generated import routes
from framepack.client.generated.async_operations import AsyncOperations, AsyncSubmissions
from framepack.client.generated.operations import Operations, Submissions
from framepack.registry import discover

REGISTRY = discover()
OPERATIONS = {operation.name: operation for operation in REGISTRY}
SOURCES = {"video": {"video_url", "video_base64"}, "image": {"image_url", "image_base64"}}


def public(owner: type) -> dict[str, Any]:
    """The methods that a class itself has for users."""
    return {name: value for name, value in vars(owner).items() if not name.startswith("_")}


def test_every_operation_is_a_method_of_both_clients() -> None:
    """Both have the same parameters; those that can be jobs can be submitted, too."""
    jobs = {name for name, each in OPERATIONS.items() if each.needs in {"worker", "light"} and each.response.is_kept}
    for blocking, waiting, names in (
        (Operations, AsyncOperations, set(OPERATIONS)),
        (Submissions, AsyncSubmissions, jobs),
    ):
        assert set(public(blocking)) == set(public(waiting)) == names
        for name in names:
            first, second = inspect.signature(public(blocking)[name]), inspect.signature(public(waiting)[name])
            assert first.parameters == second.parameters, name


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_no_operation_has_the_name_of_another_method(client: type) -> None:
    """Such as `upload`."""
    assert set(OPERATIONS) & (set(public(client)) | {"submit"}) == set()


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_field_and_every_part_of_an_answer_is_there(name: str) -> None:
    """Sources have one field in place of those of the API."""
    operation = OPERATIONS[name]
    typed = getattr(requests, f"{''.join(map(str.capitalize, name.split('_')))}Fields", None)
    fields = set() if typed is None else set(typed.__annotations__)
    route = getattr(routes, name.upper())
    for source in route.sources:
        fields = (fields - {source.name}) | SOURCES.get(source.name, {source.wire_name})
    answer: type[BaseModel] = getattr(answers, operation.response.__name__)

    assert fields == set(operation.request.model_fields)
    assert (route.method, route.path, route.path_fields) == (operation.method, operation.path, operation.path_fields)
    assert set(answer.model_fields) == set(operation.response.model_fields)

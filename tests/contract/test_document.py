"""The document's data agrees with itself and with the tables the document prints about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.contract_types import NO_DEFAULT, Answer, Endpoint, JsonObject, Param
from tests.contract.deviations import NOT_BUILT_YET
from tests.contract.document import ENDPOINTS
from tests.contract.document_common import (
    CALLBACK_FAILURE,
    CALLBACK_FIELDS,
    CALLBACK_OPERATIONS,
    CALLBACK_SUCCESS,
    ENDPOINTS_PER_PHASE,
    ERRORS,
    IMMEDIATE_REPLY,
    IMMEDIATE_REPLY_FIELDS,
    IMMEDIATE_REPLY_ROUTES,
)

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_ANSWERING = [endpoint for endpoint in ENDPOINTS if endpoint.response is not None]
_PARAMS = [(endpoint, param) for endpoint in ENDPOINTS for param in endpoint.params]


def _name(case: object) -> str:
    return case.name if isinstance(case, Endpoint) else getattr(case, "path", "")


def _is_of_type(value: Any, json_type: str) -> bool:
    if isinstance(value, bool):
        return json_type == "boolean"
    return isinstance(value, _PYTHON_TYPES[json_type])


def _values_at(value: Any, steps: list[str]) -> list[Any]:
    """Everything that is at a path of an example; ``*`` and ``[]`` stand for all keys and items."""
    if not steps:
        return [value]
    step, *rest = steps
    if step == "[]":
        return [found for item in value for found in _values_at(item, rest)]
    if step == "*":
        return [found for item in value.values() for found in _values_at(item, rest)]
    return _values_at(value[step], rest) if step in value else []


def _paths_of(value: Any, names: frozenset[str], prefix: str = "") -> Iterator[str]:
    """Every path of an example in the words of ``names``; objects without a described inside are not entered."""
    if isinstance(value, dict):
        if prefix and not any(name.startswith(f"{prefix}.") for name in names):
            return
        for key, each in value.items():
            any_key = f"{prefix}.*"
            path = any_key if any_key in names else f"{prefix}.{key}".lstrip(".")
            yield path
            yield from _paths_of(each, names, path)
    elif isinstance(value, list):
        for item in value:
            yield f"{prefix}[]"
            yield from _paths_of(item, names, f"{prefix}[]")


def _assert_described(example: JsonObject, answers: tuple[Answer, ...]) -> None:
    described = frozenset(answer.path for answer in answers)
    assert set(_paths_of(example, described)) == described
    for answer in answers:
        values = _values_at(example, answer.path.replace("[]", ".[]").split("."))
        assert (None in values) == answer.nullable
        assert all(_is_of_type(value, answer.type) for value in values if value is not None)


def test_there_are_35_endpoints() -> None:
    """The data holds every endpoint of the document's summary."""
    assert len(ENDPOINTS) == 35


def test_endpoints_per_phase() -> None:
    """Each phase has as many endpoints as the document's summary lists."""
    assert Counter(endpoint.phase for endpoint in ENDPOINTS) == ENDPOINTS_PER_PHASE


def test_names_are_unique() -> None:
    """No two endpoints share a name."""
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_routes_are_unique() -> None:
    """No two endpoints share method and path."""
    assert len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_callback_operations() -> None:
    """The endpoints with a callback are the ten of the document's table, under its names."""
    declared = {f"{each.method} {each.path}": each.callback for each in ENDPOINTS if each.callback}
    assert declared == CALLBACK_OPERATIONS
    assert len(declared) == 10


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=_name)
def test_callback_field_and_callback_name_go_together(endpoint: Endpoint) -> None:
    """An endpoint takes a callback_url exactly when it has a callback name, which is its own name."""
    takes_callback = any(param.path == "callback_url" for param in endpoint.params)
    assert endpoint.callback == (endpoint.name if takes_callback else None)


def test_immediate_replies() -> None:
    """The endpoints that reply at once are those of the document's table, and all have a callback."""
    at_once = [endpoint for endpoint in ENDPOINTS if endpoint.replies_at_once]
    assert {endpoint.path for endpoint in at_once} == set(IMMEDIATE_REPLY_ROUTES)
    assert all(endpoint.callback for endpoint in at_once)


def test_immediate_reply_example_is_described() -> None:
    """The immediate reply's example has exactly the described fields, with their types."""
    _assert_described(IMMEDIATE_REPLY, IMMEDIATE_REPLY_FIELDS)


@pytest.mark.parametrize(("example", "absent"), [(CALLBACK_SUCCESS, "failure"), (CALLBACK_FAILURE, "success")])
def test_callback_examples_are_described(example: JsonObject, absent: str) -> None:
    """Each callback example has exactly the fields of its case, with their types."""
    fields = {field.name: field.type for field in CALLBACK_FIELDS if field.when != absent}
    assert set(example) == set(fields)
    assert all(_is_of_type(value, fields[key]) for key, value in example.items() if value is not None)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=_name)
def test_path_parameters_stand_in_the_path(endpoint: Endpoint) -> None:
    """The parameters in the path's braces are the fields that are said to travel there, all required."""
    in_path = [param for param in endpoint.params if param.location == "path"]
    braces = [part.strip("{}") for part in endpoint.path.split("/") if part.startswith("{")]
    assert [param.path for param in in_path] == braces
    assert all(param.required for param in in_path)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=_name)
def test_field_paths_are_unique(endpoint: Endpoint) -> None:
    """No field is described twice, and one-of names top-level fields."""
    paths = [param.path for param in endpoint.params]
    assert len(set(paths)) == len(paths)
    assert set(endpoint.one_of) <= set(paths)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=_name)
def test_requests_are_described(endpoint: Endpoint) -> None:
    """Every documented or sample request has only described fields and all required ones."""
    described = frozenset(param.path for param in endpoint.params)
    required = {param.path for param in endpoint.params if param.required and param.is_top_level}
    assert endpoint.takes_nothing == (endpoint.valid_request == {})
    for request in (*endpoint.examples, endpoint.valid_request):
        assert set(_paths_of(request, described)) <= described
        assert required <= set(request)
        assert not endpoint.one_of or len(set(endpoint.one_of) & set(request)) == 1


@pytest.mark.parametrize(("endpoint", "param"), _PARAMS, ids=_name)
def test_fields_are_described_soundly(endpoint: Endpoint, param: Param) -> None:
    """Defaults, bounds, listed values and examples have the field's type and respect its bounds."""
    shown = [
        value
        for request in (endpoint.valid_request, *endpoint.examples)
        for value in _values_at(request, param.path.replace("[]", ".[]").split("."))
    ]
    default = [] if param.default is NO_DEFAULT else [param.default]
    listed = list(param.values.listed) if param.values else []
    bounds = [bound for bound in (param.minimum, param.maximum) if bound is not None]
    values = [value for value in (*shown, *default, *listed) if value is not None]
    assert all(_is_of_type(value, param.type) for value in (*values, *bounds))
    assert param.minimum is None or all(value >= param.minimum for value in values)
    assert param.maximum is None or all(value <= param.maximum for value in values)
    assert param.values is None or set(values) <= set(listed)


@pytest.mark.parametrize("endpoint", _ANSWERING, ids=_name)
def test_example_answers_are_described(endpoint: Endpoint) -> None:
    """Every documented answer has exactly the described fields, with their types."""
    assert endpoint.response is not None
    _assert_described(endpoint.response, endpoint.answers)


def test_answers_without_example() -> None:
    """Fields of answers are described only where an example shows them; others point to one that is shown."""
    shown = {endpoint.name for endpoint in _ANSWERING}
    silent = [endpoint for endpoint in ENDPOINTS if endpoint.response is None]
    assert all(not endpoint.answers for endpoint in silent)
    assert {endpoint.answers_like for endpoint in silent} - {None} <= shown


def test_errors_are_the_documented_five() -> None:
    """The error bodies have one sentence each, and an endpoint's own errors are among the common ones."""
    assert [error.status for error in ERRORS] == [400, 401, 404, 409, 500]
    assert all(list(error.body) == ["detail"] for error in ERRORS)
    assert all(error in ERRORS for endpoint in ENDPOINTS for error in endpoint.errors)


def test_not_built_yet_names_documented_endpoints() -> None:
    """The list of what is missing holds only names of the document."""
    assert {endpoint.name for endpoint in ENDPOINTS} >= NOT_BUILT_YET

"""The operations that exist are those of the API document, and each takes and gives what it documents.

Endpoints that are not built yet are counted by name here and have no further comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from framepack.errors import BadRequest, InvalidSource, published
from framepack.processing.operation import AnyOperation
from framepack.registry import Registry, discover
from tests.contract.answers_check import differs_from, given_answer
from tests.contract.comparison import answer_differences, param_differences, undocumented_fields
from tests.contract.contract_types import ONE_VIDEO, Answer, Endpoint, JsonObject, Param
from tests.contract.deviations import BEYOND_THE_DOCUMENT, EXTENSIONS, NOT_BUILT_YET, UNDOCUMENTED_BOUNDS
from tests.contract.document import ENDPOINTS
from tests.contract.document_common import ERRORS
from tests.contract.probes import allowed_values, mistyped_values, refused_requests, request_with
from tests.contract.schema_reader import find_field

_BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
_BUILT = [endpoint for endpoint in ENDPOINTS if endpoint.name not in NOT_BUILT_YET]
_PARAMS = [(endpoint, param) for endpoint in _BUILT for param in endpoint.params]
_ALLOWED = [(endpoint, param) for endpoint, param in _PARAMS if allowed_values(endpoint, param)]
_REFUSED = [(endpoint, param) for endpoint, param in _PARAMS if refused_requests(endpoint, param)]
_ANSWERS = [
    (endpoint, answer)
    for endpoint in _BUILT
    for answer in (_BY_NAME[endpoint.answers_like].answers if endpoint.answers_like else endpoint.answers)
]
_EXAMPLES = [
    (endpoint, request) for endpoint in _BUILT for request in (endpoint.examples or (endpoint.valid_request,))
]
_GIVEN = [(endpoint, endpoint.response) for endpoint in _BUILT if endpoint.response is not None]
_ONE_OF = [endpoint for endpoint in _BUILT if endpoint.one_of]
_SOURCES = {
    "video_base64": "AAAAIGZ0eXBpc29t",
    "video_url": "https://example.com/video.mp4",
    "image_base64": "iVBORw0KGgoAAAAN",
    "image_url": "https://example.com/cat.jpg",
}


def _name(case: object) -> str | None:
    """The part of a test's name that a case gives it: the endpoint, the field."""
    if isinstance(case, Endpoint):
        return case.name
    return case.path if isinstance(case, Param | Answer) else None


def _each(names: str, cases: list[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise over cases that are there: pytest would skip an empty list in silence."""
    if not cases:
        raise ValueError(f"no cases of {names}")
    return pytest.mark.parametrize(names, cases, ids=_name)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Everything that the code declares."""
    return discover()


def _taken(operation: AnyOperation) -> JsonObject:
    return dict(operation.request.model_json_schema())


def _given(operation: AnyOperation) -> JsonObject:
    return dict(operation.response.model_json_schema(mode="serialization"))


@_each("endpoint", list(ENDPOINTS))
def test_every_endpoint_is_built_or_known_to_be_missing(registry: Registry, endpoint: Endpoint) -> None:
    """A documented endpoint exists or is listed as not built, and never both."""
    is_built = any(operation.name == endpoint.name for operation in registry)
    assert is_built != (endpoint.name in NOT_BUILT_YET)


def test_every_operation_is_documented(registry: Registry) -> None:
    """An operation is in the document, or listed with a reason as going beyond it."""
    beyond = {operation.name for operation in registry} - set(_BY_NAME)
    missing = beyond - set(BEYOND_THE_DOCUMENT)
    assert not missing, (
        f"add {sorted(missing)}, with a reason, to BEYOND_THE_DOCUMENT in tests/contract/deviations.py"
    )
    assert set(BEYOND_THE_DOCUMENT) <= beyond


@_each("endpoint", _BUILT)
def test_route(registry: Registry, endpoint: Endpoint) -> None:
    """Name, method, path and path fields are the documented ones."""
    operation = registry.find(endpoint.name)
    in_path = tuple(param.path for param in endpoint.params if param.location == "path")
    assert (operation.name, operation.method, operation.path) == (endpoint.name, endpoint.method, endpoint.path)
    assert operation.path_fields == in_path


@_each("endpoint", _BUILT)
def test_found_by_name_and_by_route(registry: Registry, endpoint: Endpoint) -> None:
    """The name, the route with its method, and both in one string find the same operation."""
    operation = registry.find(endpoint.name)
    assert registry.find(endpoint.path, method=endpoint.method) is operation
    assert registry.find(f"{endpoint.method} {endpoint.path}") is operation


@_each("endpoint", _BUILT)
def test_callback_support(registry: Registry, endpoint: Endpoint) -> None:
    """An operation reports to a callback_url exactly where the document, or a listed extension, says so."""
    promised = endpoint.callback is not None or "callback_url" in EXTENSIONS.get(endpoint.name, {})
    assert registry.find(endpoint.name).supports_callback == promised, (
        f"{endpoint.name}: a callback_url that the document does not have needs its reason in EXTENSIONS of "
        "tests/contract/deviations.py"
    )


@_each("endpoint, param", _PARAMS)
def test_documented_field(registry: Registry, endpoint: Endpoint, param: Param) -> None:
    """A documented request field exists with the documented type, presence, default, bounds and values."""
    free = param.path in UNDOCUMENTED_BOUNDS.get(endpoint.name, {})
    assert param_differences(_taken(registry.find(endpoint.name)), param, free_bounds=free) == []


@_each("endpoint", _BUILT)
def test_no_undocumented_fields(registry: Registry, endpoint: Endpoint) -> None:
    """Request fields beyond the document are exactly those listed as extensions."""
    beyond = undocumented_fields(_taken(registry.find(endpoint.name)), endpoint)
    listed = set(EXTENSIONS.get(endpoint.name, {}))
    assert beyond == listed, (
        f"{endpoint.name}: give the reason for {sorted(beyond - listed)} in EXTENSIONS of "
        f"tests/contract/deviations.py, and remove {sorted(listed - beyond)} there"
    )


@_each("endpoint, param", _ALLOWED)
def test_allowed_values_are_taken(registry: Registry, endpoint: Endpoint, param: Param) -> None:
    """The bounds themselves and every listed value pass validation."""
    request = registry.find(endpoint.name).request
    for value in allowed_values(endpoint, param):
        request.parse(request_with(endpoint, param, value))


@_each("endpoint, param", _REFUSED)
def test_values_outside_are_refused(registry: Registry, endpoint: Endpoint, param: Param) -> None:
    """Just outside a bound or a closed list, or missing, is a bad request; the sentence names the field."""
    request = registry.find(endpoint.name).request
    for body in refused_requests(endpoint, param):
        with pytest.raises(BadRequest, match=param.top_level_name):
            request.parse(body)


@_each("endpoint, param", _PARAMS)
def test_mistyped_values_are_refused(registry: Registry, endpoint: Endpoint, param: Param) -> None:
    """A value of another JSON type is a bad request, and the sentence names the field."""
    request = registry.find(endpoint.name).request
    for value in mistyped_values(param):
        with pytest.raises(BadRequest, match=param.top_level_name):
            request.parse(request_with(endpoint, param, value))


@_each("endpoint", _BUILT)
def test_unknown_fields_are_refused(registry: Registry, endpoint: Endpoint) -> None:
    """A field that nobody knows is refused by its name."""
    with pytest.raises(BadRequest, match="no_such_field"):
        registry.find(endpoint.name).request.parse({**endpoint.valid_request, "no_such_field": 1})


@_each("endpoint", _ONE_OF)
def test_one_source_is_wanted(registry: Registry, endpoint: Endpoint) -> None:
    """Either source alone is taken; neither and both are refused, neither of two videos in the document's words."""
    request = registry.find(endpoint.name).request
    rest = {key: value for key, value in endpoint.valid_request.items() if key not in endpoint.one_of}
    for source in endpoint.one_of:
        request.parse({**rest, source: _SOURCES[source]})
    with pytest.raises(InvalidSource) as neither:
        request.parse(rest)
    with pytest.raises(InvalidSource):
        request.parse({**rest, **{source: _SOURCES[source] for source in endpoint.one_of}})
    if set(endpoint.one_of) == set(ONE_VIDEO):
        assert neither.value.message == ERRORS[0].body["detail"]


@_each("endpoint, request_body", _EXAMPLES)
def test_example_requests_are_taken(registry: Registry, endpoint: Endpoint, request_body: JsonObject) -> None:
    """Every example request of the document passes validation, with its values as given."""
    parsed = registry.find(endpoint.name).request.parse(request_body)
    assert differs_from(request_body, parsed.model_dump(mode="json", by_alias=True)) == []


@_each("endpoint, answer", _ANSWERS)
def test_documented_answer_field(registry: Registry, endpoint: Endpoint, answer: Answer) -> None:
    """A documented field of an answer exists in the response with the documented type."""
    assert answer_differences(_given(registry.find(endpoint.name)), answer) == []


@_each("endpoint, example", _GIVEN)
def test_example_answers_can_be_given(registry: Registry, endpoint: Endpoint, example: JsonObject) -> None:
    """The document's example answer can be given, with nothing of it lost or changed."""
    assert differs_from(example, given_answer(registry.find(endpoint.name).response, example)) == []


def test_documented_statuses_exist() -> None:
    """Every documented HTTP status is the status of an error of ours."""
    assert {error.status for error in ERRORS} <= {error.status for error in published()}


def test_deviations_still_hold(registry: Registry) -> None:
    """Every listed deviation has a reason, and what is listed as bounded is a bounded field of the code."""
    tables = (*EXTENSIONS.values(), *UNDOCUMENTED_BOUNDS.values())
    assert all(reason for table in (BEYOND_THE_DOCUMENT, *tables) for reason in table.values())
    assert set(EXTENSIONS) | set(UNDOCUMENTED_BOUNDS) <= {endpoint.name for endpoint in _BUILT}
    for name, fields in UNDOCUMENTED_BOUNDS.items():
        for path in fields:
            found = find_field(_taken(registry.find(name)), path)
            assert found is not None
            assert any(found.bound(each) is not None for each in ("minimum", "maximum", "minItems", "maxItems"))

"""The comparison with the document sees every kind of difference, and none where there is none."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, create_model

from framepack.api.schemas import Request, Response
from tests.contract.answers_check import differs_from, given_answer
from tests.contract.comparison import answer_differences, param_differences, undocumented_fields
from tests.contract.contract_types import Answer, Endpoint, JsonObject, Param, Values
from tests.contract.probes import allowed_values, refused_requests, request_with

SCALE = Param("scale", "number", default=2.0, minimum=1.0, maximum=4.0)
MODE = Param("mode", "string", default="a", values=Values(listed=("a", "b")))
MODEL = Param("model", "string", default="x", values=Values(listed=("x", "y"), closed=False))
NAME = Param("name", "string", required=True)
URLS = Param("urls", "array", required=True, min_items=2)
NOTE = Param("note", "string")
STEP = Param("steps[].type", "string", required=True, values=Values(listed=("up", "down")))
STEPS = (Param("steps", "array", required=True), Param("steps[]", "object", required=None), STEP)

PIPELINE = Endpoint(
    phase=1,
    method="POST",
    path="/pipeline",
    name="pipeline",
    params=STEPS,
    examples=({"steps": [{"type": "up", "params": {"scale": 2}}, {"type": "down"}]},),
)


class Up(Request):
    """One alternative of a step."""

    type: Literal["up"]
    scale: float = 2.0


class Down(Request):
    """The other."""

    type: Literal["down"]


class Pipeline(Request):
    """Nested objects, with alternatives told apart by a field."""

    steps: list[Annotated[Up | Down, Field(discriminator="type")]]


def _schema(name: str, annotation: Any, default: Any = ...) -> JsonObject:
    fields: dict[str, Any] = {name: (annotation, default)}
    return dict(create_model("Made", __base__=Request, **fields).model_json_schema())


@pytest.mark.parametrize(
    ("param", "annotation", "default"),
    [
        (SCALE, float, Field(2.0, ge=1, le=4)),
        (SCALE, Annotated[float, Field(ge=1, le=4)] | None, 2.0),
        (MODE, Literal["a", "b"], "a"),
        (MODE, str, "a"),
        (MODEL, str, "x"),
        (NAME, str, ...),
        (URLS, list[str], Field(min_length=2)),
        (NOTE, str | None, None),
    ],
)
def test_the_same_declaration_has_no_differences(param: Param, annotation: Any, default: Any) -> None:
    """A field declared as documented compares equal, however pydantic spells it."""
    assert param_differences(_schema(param.path, annotation, default), param) == []


@pytest.mark.parametrize(
    ("param", "annotation", "default", "difference"),
    [
        (SCALE, int, Field(2, ge=1, le=4), "has type ['integer'], documented number"),
        (SCALE, float, Field(ge=1, le=4), "is required, documented otherwise"),
        (SCALE, float, Field(3.0, ge=1, le=4), "has default 3.0, documented 2.0"),
        (SCALE, float, Field(2.0, ge=0, le=4), "has minimum 0, documented 1.0"),
        (SCALE, float, Field(2.0, ge=1), "has maximum None, documented 4.0"),
        (SCALE, float, Field(2.0, ge=1, le=4, lt=4), "has exclusiveMaximum 4, documented None"),
        (MODE, Literal["a"], "a", "is restricted to ['a'], documented ['a', 'b']"),
        (MODEL, Literal["x", "y"], "x", "is restricted to ['x', 'y'], documented as open"),
        (NAME, str | None, None, "is optional, documented otherwise"),
        (URLS, list[str], Field(min_length=1), "has minItems 1, documented 2"),
        (NOTE, str, "hello", "has default 'hello', documented NO_DEFAULT"),
        (Param("flag", "boolean", default=False), bool, True, "has default True, documented False"),
        (Param("tile", "integer", default=0), int, False, "has default False, documented 0"),
        (Param("rate", "integer", default=1), int, Field(1, ge=1), "has minimum 1, documented None"),
    ],
)
def test_each_difference_is_seen(param: Param, annotation: Any, default: Any, difference: str) -> None:
    """A field declared otherwise is told with what differs."""
    assert difference in param_differences(_schema(param.path, annotation, default), param)


def test_a_missing_field_is_seen() -> None:
    """A documented field that the code lacks is told, inside objects too."""
    assert param_differences(_schema("other", str), NAME) == ["is missing"]
    assert param_differences(dict(Pipeline.model_json_schema()), Param("steps[].title", "string")) == ["is missing"]


def test_free_bounds_excuse_only_what_is_undocumented() -> None:
    """A bound listed as deviation is excused where the document has none, not where it names another."""
    rate = Param("rate", "integer", default=1)
    assert param_differences(_schema("rate", int, Field(1, ge=1)), rate, free_bounds=True) == []
    assert param_differences(_schema("scale", float, Field(2.0, ge=0, le=4)), SCALE, free_bounds=True)


def test_nested_fields_compare_through_alternatives() -> None:
    """The fields of items are found behind references and unions."""
    schema = dict(Pipeline.model_json_schema())
    assert [param_differences(schema, param) for param in STEPS] == [[], [], []]


def test_undocumented_fields_are_seen() -> None:
    """What the document does not know is named, inside the objects that it spells out too."""
    made = create_model("Made", __base__=Pipeline, extra=(str, "x"))
    assert undocumented_fields(dict(made.model_json_schema()), PIPELINE) == {"extra", "steps[].scale"}


def test_answer_fields_are_found_under_any_key() -> None:
    """``*`` stands for the keys of a mapping, and a wrong type is told."""
    made = create_model("Made", __base__=Response, models=(dict[str, Up], ...))
    schema = dict(made.model_json_schema(mode="serialization"))
    assert answer_differences(schema, Answer("models.*.scale", "number")) == []
    assert answer_differences(schema, Answer("models.*.scale", "integer"))
    assert answer_differences(schema, Answer("models.*.size", "integer")) == ["is missing"]


def test_an_answer_may_hold_more_than_the_document() -> None:
    """Fields beyond the document do not count, whatever their type."""
    made = create_model("Made", __base__=Response, message=(str, ...), size=(int, ...), names=(list[str], ...))
    example = {"message": "Done"}
    assert differs_from(example, given_answer(made, example)) == []


def test_a_lost_answer_field_is_seen() -> None:
    """A documented value that the client would not see is told by its place."""
    made = create_model("Made", __base__=Response, state=(dict[str, str | None], ...), model=(str | None, None))
    example = {"state": {"name": "x"}, "model": None}
    assert differs_from(example, given_answer(made, example)) == [".model"]
    assert differs_from({"frames": [{"index": 1}]}, {"frames": [{"index": 2}]}) == [".frames.0.index"]


def test_a_refused_answer_value_is_an_error() -> None:
    """A documented answer that the model refuses is an error."""
    made = create_model("Made", __base__=Response, message=(int, ...))
    with pytest.raises(ValidationError):
        given_answer(made, {"message": "Done"})


def test_probes_at_the_edge_of_bounds() -> None:
    """Bounds are allowed; the next number beyond each is tried and refused."""
    endpoint = Endpoint(phase=1, method="POST", path="/x", name="x", params=(SCALE,), sample={"scale": 2.0})
    made = create_model("Made", __base__=Request, scale=(float, Field(2.0, ge=1, le=4)))
    assert allowed_values(endpoint, SCALE) == [1.0, 4.0]
    refused = [request["scale"] for request in refused_requests(endpoint, SCALE)]
    assert refused == [pytest.approx(1.0), pytest.approx(4.0)]
    for value in refused:
        with pytest.raises(ValidationError):
            made.model_validate({"scale": value})


def test_probes_inside_items() -> None:
    """A value for a field of items makes one item, with only its required fields beside it."""
    assert request_with(PIPELINE, STEP, "down") == {"steps": [{"type": "down"}]}
    assert refused_requests(PIPELINE, STEP)[0] == {"steps": [{"type": "no-such-value"}]}
    assert refused_requests(PIPELINE, STEP)[1]["steps"][0] == {"params": {"scale": 2}}


def test_probes_leave_the_document_alone() -> None:
    """Requests are made from copies: the documented example stays as it is."""
    request_with(PIPELINE, STEP, "down")
    refused_requests(PIPELINE, STEP)
    assert PIPELINE.examples[0]["steps"][0]["type"] == "up"

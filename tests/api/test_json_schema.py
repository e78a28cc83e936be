"""Schemas for clients: what may be left out, what is always there, and steps that are told apart by their type."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from framepack.api.json_schema import ClientSchemas
from framepack.api.schemas import Request, VideoRequest
from framepack.registry import Registry, declared, discover


class Part(Request):
    """A part of a request."""

    size: int = Field(3, ge=1, le=9, description="How large")


class Sent(Request):
    """A request."""

    name: str
    part: Part = Field(default_factory=Part)
    limit: float | None = Field(None, description="How many")


class Given(BaseModel):
    """An answer."""

    success: bool = True
    note: str | None = None
    count: int | None


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Everything that the code declares."""
    return discover()


def definitions(*models: tuple[type[BaseModel], Any]) -> dict[str, Any]:
    """The schemas of some models, and of what they are made of."""
    return dict(models_json_schema(list(models), schema_generator=ClientSchemas)[1]["$defs"])


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The whole schema of a request."""
    return model.model_json_schema(schema_generator=ClientSchemas)


def test_a_field_that_need_not_be_sent_has_its_default_beside_its_type_and_may_be_null() -> None:
    """Description and bounds stay where they are."""
    schemas = definitions((Sent, "validation"))

    size = schemas["Part"]["properties"]["size"]
    assert size["anyOf"] == [{"type": "integer", "minimum": 1, "maximum": 9, "default": 3}, {"type": "null"}]
    assert size["description"] == "How large"
    assert "default" not in size
    assert schemas["Sent"]["properties"]["limit"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert schemas["Sent"]["properties"]["part"]["anyOf"] == [{"$ref": "#/$defs/Part"}, {"type": "null"}]
    assert schemas["Sent"]["required"] == ["name"]


def test_a_field_of_an_answer_is_required_unless_null_is_its_default() -> None:
    """What is there with a null value is required, too."""
    given = definitions((Given, "serialization"))["Given"]

    assert given["required"] == ["success", "count"]
    assert not any("default" in field for field in given["properties"].values())


@pytest.mark.parametrize(
    ("sources", "is_valid"),
    [
        ({"video_url": "https://example.com/a.mp4"}, True),
        ({"video_base64": "AAAA"}, True),
        ({}, False),
        ({"video_url": "https://example.com/a.mp4", "video_base64": "AAAA"}, False),
    ],
)
def test_a_request_has_one_source(sources: dict[str, str], *, is_valid: bool) -> None:
    """The schema says so, as the model does."""
    assert Draft202012Validator(schema_of(VideoRequest)).is_valid(sources) == is_valid


def test_steps_are_told_apart_by_their_type(registry: Registry) -> None:
    """Each type has the parameters of its effect, and no others."""
    validator = Draft202012Validator(schema_of(registry.find("pipeline").request))
    schema = schema_of(registry.find("pipeline").request)["$defs"]

    assert schema["Step"]["discriminator"]["propertyName"] == "type"
    assert set(schema["Step"]["discriminator"]["mapping"]) == set(registry.effects)
    for name, effect in registry.effects.items():
        step = schema[schema["Step"]["discriminator"]["mapping"][name].rpartition("/")[2]]
        assert step["properties"]["type"]["const"] == name
        params = schema[step["properties"]["params"]["anyOf"][0]["$ref"].rpartition("/")[2]]
        assert set(params["properties"]) == set(effect.params.model_fields)

    def is_valid(*steps: Any) -> bool:
        return validator.is_valid({"video_url": "https://example.com/a.mp4", "operations": list(steps)})

    assert is_valid({"type": "upscale", "params": {"scale_factor": 2.0}}, {"type": "loop"}, {"type": "filters"})
    assert is_valid({"type": "upscale", "params": None})
    assert not is_valid()
    assert not is_valid({"type": "upscale", "params": {"scale_factor": 5}})
    assert not is_valid({"type": "upscale", "params": {"brightness": 5}})
    assert not is_valid({"type": "unknown"})


def test_a_registry_with_one_effect_and_one_with_none_have_schemas_of_their_steps() -> None:
    """One type is no alternative, and none is a free text."""
    operations, effects = declared()

    one = Registry(operations, [each for each in effects if each.name == "loop"]).find("pipeline").request
    none = Registry(operations).find("pipeline").request

    assert schema_of(one)["$defs"]["Step"]["oneOf"] == [{"$ref": "#/$defs/LoopStep"}]
    assert schema_of(none)["$defs"]["Step"]["properties"]["type"]["type"] == "string"


def test_every_example_is_valid_by_the_schema_of_its_operation(registry: Registry) -> None:
    """There are at least 15."""
    found = [(operation, example) for operation in registry for example in operation.examples.values()]

    assert len(found) >= 15
    for operation, example in found:
        assert Draft202012Validator(schema_of(operation.request)).is_valid(dict(example)), operation.name

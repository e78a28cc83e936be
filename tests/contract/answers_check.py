"""Whether a response model can give a documented example answer, field by field and nothing lost."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from framepack.api.schemas import Response
    from tests.contract.contract_types import JsonObject

_FILLERS: tuple[Any, ...] = ("text", 0, False, [], {})


def given_answer(model: type[Response], example: JsonObject) -> JsonObject:
    """What a client sees when ``model`` is given a documented example.

    Fields that the model requires beyond the document are filled with something first; they do not count.

    Raises:
        ValidationError: the model refuses a documented field or its value.
    """
    answer = copy.deepcopy(example)
    for place in _missing(model, answer):
        _fill(model, answer, place)
    return model.model_validate(answer).payload()


def simplest_answer(model: type[Response]) -> JsonObject:
    """What a client sees when ``model`` is given only what it requires, in the simplest values that it allows."""
    schema = model.model_json_schema()
    return model.model_validate(_simplest(schema, schema.get("$defs", {}))).payload()


def _simplest(schema: JsonObject, models: JsonObject) -> Any:
    """The simplest value that a JSON schema, as pydantic writes it, allows."""
    if "$ref" in schema:
        schema = models[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return _simplest(schema["anyOf"][0], models)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    required = {name: schema["properties"][name] for name in schema.get("required", ())}
    return {
        "object": {name: _simplest(each, models) for name, each in required.items()},
        "array": [_simplest(schema["items"], models) for _ in range(schema.get("minItems", 0))],
        "string": "x" * schema.get("minLength", 1),
        "boolean": False,
        "integer": low,
        "number": low,
    }.get(schema.get("type", "null"))


def differs_from(example: Any, given: Any, where: str = "") -> list[str]:
    """Paths at which ``given`` lacks or changes something of ``example``; more than the example is fine."""
    if isinstance(example, dict) and isinstance(given, dict):
        return [
            path
            for key, value in example.items()
            for path in differs_from(value, given.get(key, ...), f"{where}.{key}")
        ]
    if isinstance(example, list) and isinstance(given, list) and len(example) == len(given):
        pairs = zip(example, given, strict=True)
        return [
            path for index, (one, other) in enumerate(pairs) for path in differs_from(one, other, f"{where}.{index}")
        ]
    return [] if example == given else [where]


def _missing(model: type[Response], answer: JsonObject) -> list[tuple[int | str, ...]]:
    try:
        model.model_validate(answer)
    except ValidationError as error:
        return [finding["loc"] for finding in error.errors() if finding["type"] == "missing"]
    return []


def _fill(model: type[Response], answer: JsonObject, place: tuple[int | str, ...]) -> None:
    around: Any = answer
    for step in place[:-1]:
        around = around[step]
    for filler in _FILLERS:
        around[place[-1]] = filler
        try:
            model.model_validate(answer)
        except ValidationError as error:
            if place not in [finding["loc"][: len(place)] for finding in error.errors()]:
                return
        else:
            return

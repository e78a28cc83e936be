"""Compares one documented field with the code's schema and says in words what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.contract.contract_types import NO_DEFAULT, Answer, Endpoint, JsonObject, Param
from tests.contract.schema_reader import FoundField, child_names, find_field


def param_differences(schema: JsonObject, param: Param, *, free_bounds: bool = False) -> list[str]:
    """What differs between a documented request field and a request's schema.

    Args:
        schema: JSON schema of the request model.
        param: The documented field.
        free_bounds: Whether the code may set bounds where the document names none.
    """
    found = find_field(schema, param.path)
    if found is None:
        return ["is missing"]
    return [
        *_type_differences(found, param.type),
        *_presence_differences(found, param),
        *_bound_differences(found, param, free_bounds=free_bounds),
        *_choice_differences(found, param),
    ]


def answer_differences(schema: JsonObject, answer: Answer) -> list[str]:
    """What differs between a documented field of an answer and a response's schema."""
    found = find_field(schema, answer.path)
    return ["is missing"] if found is None else list(_type_differences(found, answer.type))


def undocumented_fields(schema: JsonObject, endpoint: Endpoint) -> frozenset[str]:
    """Paths of request fields that the document does not know, also inside the objects it spells out."""
    documented = {param.path for param in endpoint.params}
    spelled_out = {path.rpartition(".")[0] for path in documented}
    taken = {f"{place}.{name}".lstrip(".") for place in spelled_out | {""} for name in child_names(schema, place)}
    return frozenset(taken - documented)


def _type_differences(found: FoundField, documented: str) -> Iterator[str]:
    if found.types != {documented}:
        yield f"has type {sorted(found.types)}, documented {documented}"


def _presence_differences(found: FoundField, param: Param) -> Iterator[str]:
    if param.required is not None and found.required != param.required:
        yield f"is {'required' if found.required else 'optional'}, documented otherwise"
    if not _same_default(found.default, param.default):
        yield f"has default {found.default!r}, documented {param.default!r}"


def _same_default(actual: Any, documented: Any) -> bool:
    if documented is NO_DEFAULT:  # nothing, however the code spells it
        return actual is NO_DEFAULT or actual is None or actual == {}
    return isinstance(actual, bool) == isinstance(documented, bool) and bool(actual == documented)


def _bound_differences(found: FoundField, param: Param, *, free_bounds: bool) -> Iterator[str]:
    documented = {
        "minimum": param.minimum,
        "maximum": param.maximum,
        "exclusiveMinimum": None,
        "exclusiveMaximum": None,
        "minItems": param.min_items,
        "maxItems": None,
    }
    for keyword, expected in documented.items():
        actual = found.bound(keyword)
        if actual != expected and not (free_bounds and expected is None):
            yield f"has {keyword} {actual}, documented {expected}"


def _choice_differences(found: FoundField, param: Param) -> Iterator[str]:
    if found.choices is None:
        return  # whether values outside a closed list are refused, requests show
    restricted = sorted(map(str, found.choices))
    if param.values is None or not param.values.closed:
        yield f"is restricted to {restricted}, documented as open"
    elif found.choices != set(param.values.listed):
        yield f"is restricted to {restricted}, documented {sorted(map(str, param.values.listed))}"

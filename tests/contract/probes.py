"""Requests made from a documented one: at the bounds, just outside them, of the wrong type."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.contract.contract_types import Endpoint, JsonObject, Param

_MISTYPED: dict[str, tuple[Any, ...]] = {
    "string": (5, True, ["text"]),
    "integer": (1.5, "1", True),
    "number": ("1.0", True),
    "boolean": ("true", 1),
    "array": ("text", {"a": 1}),
    "object": ("text", [1]),
}


def request_with(endpoint: Endpoint, param: Param, value: Any) -> JsonObject:
    """A valid request of ``endpoint``, except that ``param`` has ``value``.

    Items of arrays are cut down to one item with its required fields, because their other fields may depend on
    the one that changes.
    """
    request = copy.deepcopy(endpoint.valid_request)
    if "[]" not in param.path:
        *around, name = param.path.split(".")
        place = request
        for step in around:
            place = place[step]
        place[name] = value
        return request
    array, _, name = param.path.partition("[]")
    *around, array_name = array.split(".")
    place = request
    for step in around:
        place = place[step]
    place[array_name] = [_item_with(endpoint, place[array_name][0], array, name, value) if name else value]
    return request


def _item_with(endpoint: Endpoint, item: JsonObject, array: str, name: str, value: Any) -> JsonObject:
    required = {param.path.removeprefix(f"{array}[].") for param in endpoint.params if param.required}
    return {key: each for key, each in item.items() if key in required} | {name.removeprefix("."): value}


def allowed_values(endpoint: Endpoint, param: Param) -> list[Any]:
    """The values at the bounds and all listed ones; empty where the document restricts nothing."""
    bounds = [bound for bound in (param.minimum, param.maximum) if bound is not None]
    listed = list(param.values.listed) if param.values else []
    shortest = [] if param.min_items is None else [_items(endpoint, param)[: param.min_items]]
    return [*bounds, *listed, *shortest]


def refused_requests(endpoint: Endpoint, param: Param) -> list[JsonObject]:
    """Requests with ``param`` just outside its bounds, not listed, too short, or not there though required."""
    requests = [request_with(endpoint, param, value) for value in _values_outside(endpoint, param)]
    if param.required:
        requests.append(_request_without(endpoint, param))
    return requests


def mistyped_values(param: Param) -> tuple[Any, ...]:
    """Values of other JSON types."""
    return _MISTYPED[param.type]


def _values_outside(endpoint: Endpoint, param: Param) -> list[Any]:
    outside: list[Any] = []
    whole = param.type == "integer"
    if param.minimum is not None:
        outside.append(param.minimum - 1 if whole else math.nextafter(param.minimum, -math.inf))
    if param.maximum is not None:
        outside.append(param.maximum + 1 if whole else math.nextafter(param.maximum, math.inf))
    if param.values and param.values.closed:
        outside.append(3 if whole else "no-such-value")
    if param.min_items is not None:
        outside.append(_items(endpoint, param)[: param.min_items - 1])
    return outside


def _request_without(endpoint: Endpoint, param: Param) -> JsonObject:
    request = copy.deepcopy(endpoint.valid_request)
    place: Any = request
    *around, name = param.path.replace("[]", ".[]").split(".")
    for step in around:
        place = place[0] if step == "[]" else place[step]
    del place[name]
    return request


def _items(endpoint: Endpoint, param: Param) -> list[Any]:
    items: list[Any] = endpoint.valid_request[param.path]
    return items

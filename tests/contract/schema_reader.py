"""Reads what a JSON schema says about one field, wherever it lies, behind references and alternatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.contract.contract_types import NO_DEFAULT, JsonObject

Number = int | float


@dataclass(frozen=True)
class FoundField:
    """One field of a schema.

    Attributes:
        raw: Its schemas as written, one per alternative of the object around it.
        branches: The alternatives of those, references resolved and null left out.
        required: Whether every alternative of the object around it requires it.
    """

    raw: tuple[JsonObject, ...]
    branches: tuple[JsonObject, ...]
    required: bool

    @property
    def types(self) -> frozenset[str]:
        """Its JSON types; "any" where one is not restricted."""
        return frozenset(branch.get("type", "any") for branch in self.branches)

    @property
    def default(self) -> Any:
        """Its default, NO_DEFAULT without one."""
        return self.raw[0].get("default", NO_DEFAULT)

    @property
    def choices(self) -> frozenset[Any] | None:
        """The values it is restricted to, None when it is not."""
        lists = [_listed(branch) for branch in self.branches]
        known = [each for each in lists if each is not None]
        return frozenset().union(*known) if len(known) == len(lists) else None

    def bound(self, keyword: str) -> Number | None:
        """The value of ``minimum``, ``maximum``, ``minItems`` ..., None without it."""
        return next((branch[keyword] for branch in self.branches if keyword in branch), None)


def find_field(schema: JsonObject, path: str) -> FoundField | None:
    """The field at ``path`` of ``schema``, None when there is none.

    Args:
        schema: A whole JSON schema, with its ``$defs``.
        path: Names joined by dots, ``[]`` for items, ``*`` for any key, as in ``operations[].type``.
    """
    places: tuple[JsonObject, ...] = (schema,)
    required = True
    for step in _steps(path):
        parents = tuple(_alternatives(places, schema))
        required = all(step in parent.get("required", ()) for parent in parents)
        places = tuple(child for parent in parents if (child := _child(parent, step)) is not None)
        if not places:
            return None
    return FoundField(places, tuple(_alternatives(places, schema)), required)


def child_names(schema: JsonObject, path: str) -> frozenset[str]:
    """Names of the fields of the object at ``path``; "" is the schema itself."""
    found = find_field(schema, path) if path else None
    branches = found.branches if found else tuple(_alternatives((schema,), schema))
    return frozenset(name for branch in branches for name in branch.get("properties", {}))


def _listed(branch: JsonObject) -> frozenset[Any] | None:
    if "const" in branch:
        return frozenset({branch["const"]})
    return frozenset(branch["enum"]) if "enum" in branch else None


def _steps(path: str) -> list[str]:
    return path.replace("[]", ".[]").split(".")


def _child(parent: JsonObject, step: str) -> JsonObject | None:
    if step == "[]":
        found = parent.get("items")
    elif step == "*":
        found = parent.get("additionalProperties")
    else:
        found = parent.get("properties", {}).get(step)
    return found if isinstance(found, dict) else None


def _alternatives(places: tuple[JsonObject, ...], root: JsonObject) -> Iterator[JsonObject]:
    for place in places:
        if "$ref" in place:
            yield from _alternatives((root["$defs"][place["$ref"].rpartition("/")[2]],), root)
        elif "anyOf" in place or "oneOf" in place:
            yield from _alternatives(tuple(place.get("anyOf") or place["oneOf"]), root)
        elif place.get("type") != "null":
            yield place

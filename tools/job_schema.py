"""Makes ``docs/job.schema.json``: the JSON schema of a RunPod job, for editors, validators and generators."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from framepack.api.json_schema import ClientSchemas

if TYPE_CHECKING:
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

Json = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def job_schema(registry: Registry, generated: str) -> str:
    """The schema of the jobs of all operations, as JSON.

    Args:
        registry: The operations.
        generated: The sentence that says how the file was generated.
    """
    routes = Counter(each.path for each in registry)
    parts: Json = {}
    mapping: dict[str, str] = {}
    for operation in registry:
        is_only = routes[operation.path] == 1
        name, own = f"{operation.name}_input", _input(operation, is_only=is_only)
        parts |= own.pop("$defs", {})
        parts[name] = own
        spellings = [*_spellings(operation), *([operation.path] if is_only else [])]
        mapping |= dict.fromkeys(spellings, f"#/$defs/{name}")
    whole = {
        "$schema": _DIALECT,
        "title": "Job",
        "description": f"A job of the RunPod worker. {generated}",
        "type": "object",
        "required": ["input"],
        "properties": {
            "input": {
                "description": "What to do: the endpoint and its fields",
                "oneOf": [{"$ref": ref} for ref in dict.fromkeys(mapping.values())],
                "discriminator": {"propertyName": "endpoint", "mapping": mapping},
            },
            "s3Config": {"type": "object", "description": "The job's own store for its output, an S3 bucket"},
        },
        "$defs": dict(sorted(parts.items())),
    }
    return json.dumps(whole, indent=2) + "\n"


def _input(operation: AnyOperation, *, is_only: bool) -> Json:
    """The schema of an operation's input.

    Args:
        operation: The operation.
        is_only: Whether its route has no other method, so that the route alone names it.
    """
    fields = operation.request.model_json_schema(schema_generator=ClientSchemas)
    endpoint = {"enum": [*_spellings(operation), operation.path], "description": "Name or route of the operation"}
    method = {"const": operation.method, "description": "Method of the route, where it has several"}
    own = {
        **fields,
        "title": f"{operation.name}_input",
        "description": operation.summary,
        "properties": {"endpoint": endpoint, "method": method, **fields.get("properties", {})},
        "required": ["endpoint", *fields.get("required", ())],
    }
    if is_only:
        return own
    has_route = {"properties": {"endpoint": {"const": operation.path}}}
    return {**own, "if": has_route, "then": {"required": ["method"]}}


def _spellings(operation: AnyOperation) -> tuple[str, str]:
    """What names an operation unmistakably."""
    return operation.name, f"{operation.method} {operation.path}"

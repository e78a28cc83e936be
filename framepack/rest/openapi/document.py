"""The OpenAPI document: schemas, routes and examples, from the declarations of operations and routes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from fastapi.routing import APIRoute
from pydantic import BaseModel

from framepack.api.failures import Problem
from framepack.rest.auth import OPEN_PATHS, PASSWORD_PATHS
from framepack.rest.fields import check_query
from framepack.rest.idempotency import JOB_ID, refuse_key
from framepack.rest.openapi.responses import (
    Traits,
    error_components,
    error_responses,
    header_components,
    with_headers,
)
from framepack.rest.openapi.schemas import (
    JOB_RESULT,
    alternatives,
    component_schemas,
    reference,
    remove_unused,
    require_sources,
)
from framepack.rest.openapi.webhooks import MODELS as WEBHOOK_MODELS
from framepack.rest.openapi.webhooks import webhooks
from framepack.rest.started import Accepted, Processing

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant

    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

Json = dict[str, Any]

_KEY: Final = "ApiKey"
_PASSWORD: Final = "Password"  # noqa: S105 - the name of a security scheme
_SCHEMES: Final = {
    _KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "SignedLink": {
        "type": "apiKey",
        "in": "query",
        "name": "signature",
        "description": "As in an `output_url` or `events_url`",
    },
    _PASSWORD: {
        "type": "http",
        "scheme": "basic",
        "description": "Any user name, the API key as the password",
    },
}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`respond-async`: respond with 202 and the job's URL immediately; other values are ignored",
}
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Repeated requests with the same key start only one job",
}


def openapi_document(app: FastAPI, registry: Registry, public_url: str | None) -> Json:
    """The OpenAPI document of the application, cached.

    Args:
        app: The application.
        registry: The operations behind its routes.
        public_url: Where clients reach it, if the deployment says so.
    """
    if app.openapi_schema is None:
        app.openapi_schema = _document(app, registry, public_url)
    return app.openapi_schema


def _document(app: FastAPI, registry: Registry, public_url: str | None) -> Json:
    from fastapi.openapi.utils import get_openapi

    routes: dict[str, APIRoute] = {each.name: each for each in app.state.routes if each.include_in_schema}
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        contact=app.contact,
        license_info=app.license_info,
        routes=app.routes,
    )
    document["servers"] = [{"url": "/", "description": "The server of this document"}]
    if public_url is not None:
        document["servers"].append({"url": public_url, "description": "Its public address"})
    schemas = component_schemas(registry, (*_answers(routes.values()), *WEBHOOK_MODELS))
    schemas["JobView"]["properties"]["result"] |= {"anyOf": [reference(JOB_RESULT), {"type": "null"}]}
    document["webhooks"] = webhooks(registry)
    document["components"] = {
        "schemas": schemas,
        "responses": error_components(),
        "headers": header_components(),
        "securitySchemes": _SCHEMES,
    }
    operations = {each.name: each for each in registry}
    for path, methods in document["paths"].items():
        for item in methods.values():
            name = item["operationId"]
            operation = operations.get(name)
            if operation is not None:
                item.update(_operation_item(operation, schemas))
            traits = _traits(routes[name], item) if operation is None else _operation_traits(operation, item)
            item["responses"] = _responses(item["responses"], traits)
            item.setdefault("security", _security(path))
    require_sources(document)
    remove_unused(document)
    return document


def _answers(routes: Iterable[APIRoute]) -> tuple[type[BaseModel], ...]:
    """The models of all answers of routes that are not operations, and of those that all operations have."""
    models = [each.response_model for each in routes]
    found = [each for each in models if isinstance(each, type) and issubclass(each, BaseModel)]
    return (*dict.fromkeys(found), Problem, Processing, Accepted)


def _security(path: str) -> list[dict[str, list[str]]]:
    if path in OPEN_PATHS:
        return []
    return [{_KEY: []}, {_PASSWORD: []}] if path in PASSWORD_PATHS else [{_KEY: []}]


def _responses(declared: Json, traits: Traits) -> Json:
    """All responses of a route: those it declares, and its errors."""
    declared.pop("422", None)
    for content in (each.get("content", {}) for each in declared.values()):
        content.get("text/event-stream", {}).pop("itemSchema", None)  # a keyword of OpenAPI 3.2
    errors = error_responses(traits)
    default = {"default": errors.pop("default")}
    return dict(sorted({**errors, **declared}.items())) | default


def _traits(route: APIRoute, item: Json) -> Traits:
    """The traits of a route that is not an operation."""
    has_body, has_object = "requestBody" in item, bool(route.dependant.path_params)
    takes_fields = has_body or bool({check_query, refuse_key} & {*_dependencies(route.dependant)})
    return Traits(
        needs_key=route.path not in OPEN_PATHS,
        takes_fields=takes_fields,
        has_body=has_body,
        has_object=has_object,
        may_conflict=has_object and route.methods != {"GET"},
        has_queue=has_body,
        asks_store=takes_fields or has_object,
    )


def _dependencies(dependant: Dependant) -> Iterable[Any]:
    for each in dependant.dependencies:
        yield each.call
        yield from _dependencies(each)


def _operation_traits(operation: AnyOperation, item: Json) -> Traits:
    is_query = operation.needs == "process"
    return Traits(
        has_body="requestBody" in item,
        has_object=bool(operation.path_fields),
        may_conflict=is_query and operation.method != "GET",
        has_queue=operation.is_job,
        asks_store=not is_query or operation.takes_idempotency_key,
        asks_worker=is_query,
        waits_for_job=operation.is_job,
    )


def _operation_item(operation: AnyOperation, schemas: Json) -> Json:
    """The operation object of one operation, without its errors. May add the schema of its body."""
    fields = schemas[operation.request.__name__]
    parameters = [_parameter(name, fields, "path", operation) for name in operation.path_fields]
    if operation.in_query:
        parameters += [
            _parameter(name, fields, "query", operation)
            for name in fields["properties"]
            if name not in operation.path_fields
        ]
    names = [operation.response.__name__, *([Processing.__name__] if operation.supports_callback else [])]
    has_job_id = operation.is_job or operation.takes_idempotency_key
    result = _response("The result", names)
    item: Json = {
        "description": inspect.cleandoc(operation.run.__doc__ or ""),
        "responses": {"200": with_headers(result, [JOB_ID] if has_job_id else [])},
    }
    if operation.takes_idempotency_key:
        parameters.append(_IDEMPOTENCY)
    if operation.is_job and operation.response.is_kept:
        parameters.append(_PREFER)
        accepted = _response("The job was accepted", [Accepted.__name__])
        item["responses"]["202"] = with_headers(accepted, [JOB_ID, "Location", "Preference-Applied"])
    if parameters:
        item["parameters"] = parameters
    if (body := _body(operation, schemas)) is not None:
        item["requestBody"] = body
    return item


def _parameter(name: str, fields: Json, location: str, operation: AnyOperation) -> Json:
    field = fields["properties"][name]
    is_required = location == "path" or name in fields.get("required", ())
    options = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]  # a URL cannot have null
    parameter = {"name": name, "in": location, "required": is_required, "schema": options[0]}
    if "description" in field:
        parameter["description"] = field["description"]
    examples = {title: {"value": each[name]} for title, each in operation.examples.items() if name in each}
    return {**parameter, "examples": examples} if examples else parameter


def _body(operation: AnyOperation, schemas: Json) -> Json | None:
    """The request body: the fields that are neither in the path nor required in the query."""
    name = operation.request.__name__
    fields = schemas[name]
    required = fields.get("required", ())
    elsewhere = {*operation.path_fields, *(required if operation.in_query else ())}
    own = {field: each for field, each in fields.get("properties", {}).items() if field not in elsewhere}
    if not own or operation.method == "GET":
        return None
    rest = {"properties": own, "required": [each for each in required if each in own]}
    is_required = not operation.in_query and bool(rest["required"] or "oneOf" in fields)
    content: Json = {"schema": reference(name)}
    if elsewhere:
        content["schema"] = reference(f"{name}Body")
        schemas[f"{name}Body"] = {**fields, "title": f"{name}Body", **rest}
        if operation.in_query:  # where the source may be
            schemas[f"{name}Body"].pop("oneOf", None)
    examples = {title: {"summary": title, "value": each} for title, each in operation.examples.items()}
    if examples and not elsewhere:
        content["examples"] = examples
    return {"required": is_required, "content": {"application/json": content}}


def _response(description: str, models: Iterable[str]) -> Json:
    return {"description": description, "content": {"application/json": {"schema": alternatives(models)}}}

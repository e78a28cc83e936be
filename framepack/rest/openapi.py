"""The OpenAPI document: schemas and examples, generated from the declarations of the operations."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from framepack.api.json_schema import ClientSchemas
from framepack.rest.auth import OPEN_PATHS

if TYPE_CHECKING:
    from fastapi import FastAPI

    from framepack.registry import AnyOperation, Registry

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
_KEY: Final = "ApiKey"
_SCHEMES: Final = {
    _KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "SignedLink": {
        "type": "apiKey",
        "in": "query",
        "name": "signature",
        "description": "As in an `output_url` or `events_url`",
    },
}
_EVENTS: Final = "text/event-stream"
_FRAMEWORK_SCHEMAS: Final = frozenset({"HTTPValidationError", "ValidationError"})
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


class Problem(BaseModel):
    """An error."""

    detail: str = Field(description="One sentence: what was wrong and what is allowed")
    code: str = Field(description="A stable name of the error")


class Processing(BaseModel):
    """The immediate response to a request with a `callback_url`, which gets the result."""

    success: bool
    message: str
    processing: bool
    callback_url: str
    note: str
    job_id: str


class Accepted(BaseModel):
    """The response to `Prefer: respond-async`."""

    success: bool
    message: str
    job_id: str
    status_url: str = Field(description="Path of the job")
    events_url: str | None = Field(
        None, description="Path of its events with a signature: `EventSource` needs no key for it until it expires"
    )


def openapi_document(app: FastAPI, registry: Registry) -> Json:
    """The OpenAPI document of the application, cached."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app, registry)
    return app.openapi_schema


def _document(app: FastAPI, registry: Registry) -> Json:
    from fastapi.openapi.utils import get_openapi

    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        license_info=app.license_info,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = {name: each for name, each in components.get("schemas", {}).items() if name not in _FRAMEWORK_SCHEMAS}
    schemas |= _schemas(registry)
    components["schemas"] = schemas
    components["securitySchemes"] = _SCHEMES
    for operation in registry:
        route = document["paths"][operation.path][operation.method.lower()]
        route.update(_operation_item(operation, schemas[operation.request.__name__]))
    _require_sources(document)
    for path, methods in document["paths"].items():
        for route in methods.values():
            _complete(route, is_open=path in OPEN_PATHS)
    return document


def _require_sources(document: Json) -> None:
    """Move the rule that a request has one source from its schema to the references to it.

    Within the schema, generators of clients take the rule for alternatives of the whole request.
    """
    schemas = document["components"]["schemas"]
    rules = {
        _REF.format(model=name): each.pop("oneOf")
        for name, each in schemas.items()
        if "properties" in each and "oneOf" in each
    }
    for reference in _references(document):
        if reference["$ref"] in rules:
            reference["oneOf"] = rules[reference["$ref"]]


def _references(value: Any) -> Iterator[Json]:
    """Every object with a reference, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _complete(route: Json, *, is_open: bool) -> None:
    """Add what all routes have in common."""
    route.setdefault("security", [] if is_open else [{_KEY: []}])
    responses = route["responses"]
    responses.pop("422", None)
    responses["default"] = _response("An error", "Problem")
    for content in (each.get("content", {}) for each in responses.values()):
        if _EVENTS in content:  # the framework uses keywords of OpenAPI 3.2 here
            content[_EVENTS] = {"schema": {"type": "string"}}


def _schemas(registry: Registry) -> dict[str, Json]:
    """The schemas of all requests and responses.

    Raises:
        ValueError: two different models have the same name, or a model is both a request and a response.
    """
    models: list[tuple[type[BaseModel], Any]] = [(each.request, "validation") for each in registry]
    answers: list[type[BaseModel]] = [*(each.response for each in registry), Problem, Processing, Accepted]
    models += [(each, "serialization") for each in answers]
    refs, definitions = models_json_schema(
        list(dict.fromkeys(models)), ref_template=_REF, schema_generator=ClientSchemas
    )
    schemas = dict(definitions["$defs"])
    for (model, _), schema in refs.items():
        if schema["$ref"] != _REF.format(model=model.__name__):
            raise ValueError(f"several models have the name {model.__name__}")
    return _plainly_named(schemas)


def _plainly_named(schemas: Json) -> Json:
    """The schemas of models that are part of requests and of answers, named and titled ``NameInput`` and ``Name``."""
    names = {name: name.removesuffix("-Output").replace("-Input", "Input") for name in schemas}
    references = {_REF.format(model=name): _REF.format(model=new) for name, new in names.items()}
    for reference in _references(schemas):
        reference["$ref"] = references[reference["$ref"]]
    return {new: schemas[name] if name == new else {**schemas[name], "title": new} for name, new in names.items()}


def _operation_item(operation: AnyOperation, fields: Json) -> Json:
    """The operation object of one operation."""
    parameters = [_parameter(name, fields, "path") for name in operation.path_fields]
    if operation.in_query:
        parameters += [
            _parameter(name, fields, "query") for name in fields["properties"] if name not in operation.path_fields
        ]
    description = inspect.cleandoc(operation.run.__doc__ or "")
    item: Json = {
        "description": description,
        "responses": {"200": _response("The result", _response_models(operation))},
    }
    is_kept = operation.response.is_kept
    if operation.method != "GET" and is_kept:
        parameters.append(_IDEMPOTENCY)
    if operation.needs in {"worker", "light"} and is_kept:
        parameters.append(_PREFER)
        item["responses"]["202"] = _response("The job was accepted; its path is in `Location`", "Accepted")
    if parameters:
        item["parameters"] = parameters
    if (body := _body(operation, fields)) is not None:
        item["requestBody"] = body
    return item


def _response_models(operation: AnyOperation) -> tuple[str, ...]:
    answer = operation.response.__name__
    return (answer, "Processing") if operation.supports_callback else (answer,)


def _parameter(name: str, fields: Json, location: str) -> Json:
    field = fields["properties"][name]
    options = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]  # a URL cannot have null
    parameter = {"name": name, "in": location, "required": location == "path", "schema": options[0]}
    return parameter | ({"description": field["description"]} if "description" in field else {})


def _body(operation: AnyOperation, fields: Json) -> Json | None:
    """The request body: the fields that are not in the path."""
    own = {name: each for name, each in fields.get("properties", {}).items() if name not in operation.path_fields}
    if not own or operation.method == "GET":
        return None
    required = [name for name in fields.get("required", ()) if name in own]
    content: Json = {"schema": {"$ref": _REF.format(model=operation.request.__name__)}}
    if operation.path_fields:
        content["schema"] = {**fields, "properties": own, "required": required}
    examples = {name: {"summary": name, "value": each} for name, each in operation.examples.items()}
    if examples:
        content["examples"] = examples
    return {"required": bool(required) and not operation.in_query, "content": {"application/json": content}}


def _response(description: str, models: str | tuple[str, ...]) -> Json:
    refs = [{"$ref": _REF.format(model=model)} for model in ((models,) if isinstance(models, str) else models)]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {"description": description, "content": {"application/json": {"schema": schema}}}

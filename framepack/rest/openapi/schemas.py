"""The schemas of the OpenAPI document, under the names of their models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from framepack.api.failures import Failure
from framepack.api.json_schema import ClientSchemas
from framepack.rest.uploads import Upload

if TYPE_CHECKING:
    from framepack.registry import Registry

Json = dict[str, Any]

JOB_RESULT: Final = "JobResult"

_PREFIX: Final = "#/components/schemas/"
_REF: Final = _PREFIX + "{model}"


def reference(name: str) -> Json:
    """A reference to a schema."""
    return {"$ref": _PREFIX + name}


def alternatives(names: Iterable[str]) -> Json:
    """The schema of a value that one of the named schemas describes."""
    refs = [reference(name) for name in names]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def component_schemas(registry: Registry, answers: Iterable[type[BaseModel]]) -> Json:
    """The schemas of all requests and answers of operations, and of other answers.

    Raises:
        ValueError: Two different models have the same name, or a model is both a request and an answer.
    """
    given: list[type[BaseModel]] = [*(each.response for each in registry), *answers, Failure]
    models: list[tuple[type[BaseModel], Any]] = [(each.request, "validation") for each in registry]
    models += [(each, "serialization") for each in given]
    refs, definitions = models_json_schema(
        list(dict.fromkeys(models)), ref_template=_REF, schema_generator=ClientSchemas
    )
    for (model, _), schema in refs.items():
        if schema["$ref"] != _REF.format(model=model.__name__):
            raise ValueError(f"several models have the name {model.__name__}")
    schemas = _plainly_named(dict(definitions["$defs"]))
    schemas[JOB_RESULT] = _job_result(registry, schemas)
    return schemas


def require_sources(document: Json) -> None:
    """Move the rule that a request has one source from its schema to the references to it.

    Within the schema, generators of clients take the rule for alternatives of the whole request.
    """
    schemas = document["components"]["schemas"]
    rules = {
        _PREFIX + name: each.pop("oneOf")
        for name, each in schemas.items()
        if "properties" in each and "oneOf" in each
    }
    for each in _references(document):
        if each["$ref"] in rules:
            each["oneOf"] = rules[each["$ref"]]


def remove_unused(document: Json) -> None:
    """Remove the schemas that nothing refers to."""
    schemas = document["components"].pop("schemas")
    used: set[str] = set()
    found = _names(document)
    while found:
        used |= found
        found = {name for new in found for name in _names(schemas[new])} - used
    document["components"]["schemas"] = {name: each for name, each in schemas.items() if name in used}


def _names(value: Any) -> set[str]:
    """The names of all schemas that a part of the document refers to."""
    refs = (each["$ref"] for each in _references(value))
    return {ref.removeprefix(_PREFIX) for ref in refs if ref.startswith(_PREFIX)}


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


def _plainly_named(schemas: Json) -> Json:
    """The schemas of models that are part of requests and of answers, named and titled ``NameInput`` and ``Name``."""
    names = {name: name.removesuffix("-Output").replace("-Input", "Input") for name in schemas}
    references = {_PREFIX + name: _PREFIX + new for name, new in names.items()}
    for each in _references(schemas):
        each["$ref"] = references[each["$ref"]]
    return {new: schemas[name] if name == new else {**schemas[name], "title": new} for name, new in names.items()}


def _job_result(registry: Registry, schemas: Json) -> Json:
    """The schema of the result of a job.

    Several answers may fit, so this is no ``oneOf``. Generated clients take the first one that has all it requires,
    and drop other fields: so those that require more come first, then those of jobs, then those that know more.
    """
    jobs = {each.response.__name__ for each in registry if each.is_job}
    others = {each.response.__name__ for each in registry if each.takes_idempotency_key}

    def rank(name: str) -> tuple[int, bool, int]:
        return len(schemas[name].get("required", ())), name in jobs, len(schemas[name]["properties"])

    ordered = sorted(sorted({*jobs, *others, Upload.__name__, Failure.__name__}), key=rank, reverse=True)
    description = "The answer of the job's operation, or a failure. Never has inline files."
    return {"title": JOB_RESULT, "description": description, **alternatives(ordered)}

"""Makes ``docs/endpoints.md``, the reference of all endpoints: fields, examples and answers, by family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from framepack.models.weights.catalog import CATALOG

if TYPE_CHECKING:
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

_UPSCALERS: Final = {row.name for row in CATALOG.group("upscaler")}
_TEXT: Final = {"type": "string"}
_HEAD: Final = """# Endpoints

{generated}

A job names its endpoint: `{{"input": {{"endpoint": "upscale", ...}}}}`. The name, the route, or the route
with `method` are all understood. Over REST, the same fields go into the body or the query of the route. Fields that
are null count as not given; unknown fields are refused. Errors have one form everywhere: [errors.md](errors.md).
"""


def endpoints_page(registry: Registry, generated: str) -> str:
    """The reference of all operations.

    Args:
        registry: The operations.
        generated: The sentence that says how the page was generated.
    """
    families: dict[str, list[AnyOperation]] = {}
    for each in sorted(registry, key=lambda operation: operation.family):
        families.setdefault(each.family, []).append(each)
    parts = [_HEAD.format(generated=generated)]
    parts += [f"\n{_family_line(name)}\n\n{_overview(operations)}\n" for name, operations in families.items()]
    parts += [_section(each) for operations in families.values() for each in operations]
    return "".join(parts)


def _family_line(family: str) -> str:
    """The name of a family, and the docstring of its package."""
    return f"**{family}**: {import_module(f'framepack.operations.{family}').__doc__ or ''}"


def _overview(operations: Iterable[AnyOperation]) -> str:
    rows = [
        f"| [`{each.name}`](#{_anchor(each)}) | `{each.method} {each.path}` | {each.summary} |" for each in operations
    ]
    return "\n".join(["| endpoint | route | |", "|---|---|---|", *rows])


def _anchor(operation: AnyOperation) -> str:
    """The anchor of an operation's heading, as GitHub and GitLab make it."""
    heading = f"{operation.name}: {operation.method} {operation.path}".lower().replace(" ", "-")
    return re.sub(r"[^\w-]", "", heading)


def _section(operation: AnyOperation) -> str:
    request = operation.request.model_json_schema()
    callback = "\nSupports `callback_url`.\n" if operation.supports_callback else ""
    return "".join(
        [
            f"\n## `{operation.name}`: {operation.method} {operation.path}\n\n{operation.summary}\n{callback}",
            _table("Fields", request),
            _upscale_models() if request.get("properties", {}).get("model", {}).get("default") in _UPSCALERS else "",
            _examples(operation),
            _table("Answer", operation.response.model_json_schema(mode="serialization"), answer=True),
        ]
    )


def _examples(operation: AnyOperation) -> str:
    """The examples that an operation declares, as inputs of jobs."""
    shown = ""
    for name, fields in operation.examples.items():
        job = json.dumps({"input": {"endpoint": operation.name, **fields}}, indent=2)
        shown += f"\nExample: {name[0].lower()}{name[1:]}\n\n```json\n{job}\n```\n"
    return shown


def _upscale_models() -> str:
    rows = [f"| `{row.name}` | {row.scale} | {row.description} |" for row in CATALOG.group("upscaler")]
    head = "\nModels, to which a deployment may add its own (`list_models` lists them all):\n"
    return "\n".join([head, "| model | scale | |", "|---|---|---|", *rows, ""])


def _table(title: str, schema: Mapping[str, Any], *, answer: bool = False) -> str:
    """The fields of a request or an answer. Fields of nested objects follow the field that contains them."""
    rows = [
        "| " + " | ".join([each for each in row if each is not None]) + " |" for row in _rows(schema, answer=answer)
    ]
    if not rows:
        return f"\n{title}: none.\n"
    head = "| field | type | |" if answer else "| field | type | default | |"
    rule = "|---|---|---|" if answer else "|---|---|---|---|"
    return "\n".join([f"\n{title}:\n", head, rule, *rows]) + "\n"


def _rows(schema: Mapping[str, Any], *, answer: bool) -> Iterator[tuple[str | None, ...]]:
    """Name, type, default (None in an answer) and description of each field."""
    for name, field, is_required in _fields(schema, schema.get("$defs", {})):
        default = None if answer else "required" if is_required else _default(field)
        yield f"`{name}`", _type(field, schema), default, field.get("description", "")


def _fields(
    schema: Mapping[str, Any], models: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Name and schema of each field, including nested ones, and whether it is required."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield prefix + name, field, name in required
        for option in _options(field):
            is_list = option.get("type") == "array"
            inner = _resolved(option.get("items", {}) if is_list else option, models)
            yield from _fields(inner, models, f"{prefix}{name}{'[]' if is_list else ''}.")


def _resolved(field: dict[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """The schema itself, or the one that it refers to."""
    reference = str(field.get("$ref", "")).rpartition("/")[2]
    return dict(models[reference]) if reference else field


def _options(field: dict[str, Any]) -> list[dict[str, Any]]:
    """The types that a value may have, except null, which counts as not given."""
    return [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]


def _type(field: dict[str, Any], schema: Mapping[str, Any]) -> str:
    """The type of a field. Known values of an open enumeration are not listed: errors.md has those of error codes."""
    options = _options(field)
    shown = [_TEXT] if _TEXT in options else options
    return " or ".join(_one_type(each, schema) for each in shown)


def _one_type(field: dict[str, Any], schema: Mapping[str, Any]) -> str:
    field = _resolved(field, schema.get("$defs", {}))
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    kind = str(field.get("type", "any"))
    if kind == "array":
        inner = _one_type(field.get("items", {}), schema)
        return "array of objects" if inner == "object" else f"array of {inner}"
    low, high = field.get("minimum"), field.get("maximum")
    return f"{kind}, {low:g} to {high:g}" if low is not None and high is not None else kind


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"

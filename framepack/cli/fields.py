"""The fields of a request as options of a command, derived from the request's model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from framepack.api.schemas import from_text
from framepack.cli.shapes import command_name, open_fields
from framepack.errors import InvalidField

if TYPE_CHECKING:
    from framepack.cli.shapes import Shape
    from framepack.registry import AnyOperation

Schema = Mapping[str, Any]

_TYPES: Final = {"integer": "INTEGER", "number": "NUMBER", "string": "TEXT", "array": "JSON", "object": "JSON"}
_IN_FILES: Final = {
    "operations": ("steps", "JSON file with the steps: a list of {type, params}, or an object with such a list"),
    "preset_name": ("preset", "JSON file with the workflow: an object with active_steps and params"),
}
"""Fields whose value is in a file: the option's name where it differs, and what the file holds."""


def option_name(field: str) -> str:
    """The option of a field, such as ``--scale-factor``."""
    name = "preset" if field == "preset_name" else field
    return f"--{command_name(name)}"


def field_options(operation: AnyOperation, shape: Shape, notes: Mapping[str, str]) -> Iterator[inspect.Parameter]:
    """A parameter for each field that can be given.

    Args:
        operation: Whose fields.
        shape: How it is used.
        notes: What to add to the description of a field, such as the names it may have.
    """
    schema = operation.request.model_json_schema()
    for name in open_fields(operation, shape):
        field: Schema = schema["properties"][name]
        is_required = name in schema.get("required", ())
        text = _IN_FILES[name][1] if name in _IN_FILES else field.get("description", name.replace("_", " "))
        details = "; ".join(filter(None, [_range(field), "required" if is_required else _default(field)]))
        parts = [text.rstrip("."), f" ({notes[name]})" if name in notes else "", f" [{details}]" if details else ""]
        text = "".join(parts) + "."
        option = option_name(name)
        if field.get("type") == "boolean":
            kind: Any = Annotated[bool | None, typer.Option(f"{option}/--no-{option[2:]}", help=text)]
        else:
            metavar = "FILE" if name in _IN_FILES else _metavar(field)
            kind = Annotated[str | None, typer.Option(option, metavar=metavar, help=text)]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def given_fields(operation: AnyOperation, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that options gave, with the types of JSON."""
    return {
        name: from_text(operation.request, name, value) if isinstance(value, str) else value
        for name, value in given.items()
        if name in operation.request.model_fields and value is not None
    }


def boolean_options(operation: AnyOperation, shape: Shape) -> set[str]:
    """The options that take no value: ``--enhance-face``."""
    properties = operation.request.model_json_schema()["properties"] if operation.request.model_fields else {}
    return {option_name(name) for name in open_fields(operation, shape) if properties[name].get("type") == "boolean"}


def checked(operation: AnyOperation, fields: dict[str, Any]) -> None:
    """Hold the fields against the request's model, before anything is opened or loaded.

    Raises:
        InvalidField: One is missing or wrong; the sentence names its option.
    """
    try:
        operation.request.parse(fields)
    except InvalidField as error:
        name = next((each for each in operation.request.model_fields if error.message.startswith(f"{each} ")), None)
        if name is None:
            raise
        raise InvalidField(option_name(name) + error.message.removeprefix(name)) from error


def _metavar(field: Schema) -> str:
    options = _options(field)
    values = [
        str(value) for each in options for value in each.get("enum", [each["const"]] if "const" in each else [])
    ]
    if values:
        return "|".join(f"'{value}'" if " " in value else value for value in values)
    return _TYPES.get(str(options[0].get("type")), "TEXT")


def _range(field: Schema) -> str:
    for each in _options(field):
        low, high = (each.get(name, each.get(short)) for name, short in (("minimum", "ge"), ("maximum", "le")))
        if low is not None and high is not None:
            return f"{low:.10g} to {high:.10g}"
    return ""


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"default: {'yes' if value else 'no'}"
    return f"default: {value:g}" if isinstance(value, float) else f"default: {value}"


def _options(field: Schema) -> list[Schema]:
    """The alternatives of a field, without null."""
    return [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]

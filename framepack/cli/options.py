"""Which operations the command line offers, how they are used on files, and the options of their commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from framepack.api.schemas import CallbackRequest, VideoRequest, VideoResponse, from_text
from framepack.errors import InvalidField

if TYPE_CHECKING:
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

Takes = Literal["video", "videos", "image", "frames", "text", "nothing"]
Gives = Literal["video", "frames", "answer"]


@dataclass(frozen=True, slots=True)
class FileUsage:
    """How an operation is used on files.

    Attributes:
        takes: The kind of IN. Several "videos" make one result; of all other kinds, each one makes a result.
        gives: The kind of result. An "answer" is printed as JSON; others are written to OUT.
        filled: Fields of the request that the command sets itself, so they are not options.
    """

    takes: Takes
    gives: Gives
    filled: frozenset[str] = frozenset()


_USAGES: Final[Mapping[str, FileUsage]] = MappingProxyType(
    {
        "analyze": FileUsage("video", "answer"),
        "extract_frames": FileUsage("video", "frames"),
        "reassemble_frames": FileUsage("frames", "video", frozenset({"folder_name"})),
        "join": FileUsage("videos", "video", frozenset({"video_urls"})),
        "caption_image": FileUsage("image", "answer", frozenset({"image_url", "image_base64"})),
        "enhance_prompt": FileUsage("text", "answer", frozenset({"prompt"})),
        "list_models": FileUsage("nothing", "answer"),
        "list_filter_presets": FileUsage("nothing", "answer"),
        "system_status": FileUsage("nothing", "answer"),
    }
)
"""Operations other than those from one video to one video."""

_REQUEST_ONLY: Final = frozenset(
    {*VideoRequest.model_fields, *CallbackRequest.model_fields, "output_name", "use_streaming"}
)
"""Fields without a meaning on the command line: files are given by name, and every video is streamed."""

_ALTERNATIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "batch": "all operations accept several: framepack run pipeline a.mp4 b.mp4 -o FOLDER --operations FILE",
        "save_video": "your files are already saved",
        "preview": "every operation takes --seconds for a part of a video, and `framepack compare` shows two videos",
    }
)


def file_usage(operation: AnyOperation) -> FileUsage | None:
    """How an operation is used on files; None if it cannot be."""
    if operation.name in _USAGES:
        return _USAGES[operation.name]
    is_plain = issubclass(operation.request, VideoRequest) and issubclass(operation.response, VideoResponse)
    return FileUsage("video", "video") if is_plain else None


def file_operations(registry: Registry) -> Iterator[tuple[AnyOperation, FileUsage]]:
    """The operations that can be used on files, sorted by name."""
    for operation in sorted(registry, key=lambda each: each.name):
        usage = file_usage(operation)
        if usage is not None:
            yield operation, usage


def option_fields(operation: AnyOperation, usage: FileUsage) -> list[str]:
    """The fields of an operation that are options of its command."""
    return [name for name in operation.request.model_fields if name not in _REQUEST_ONLY | usage.filled]


def refusal(name: str) -> str:
    """The error message for an operation that is not offered."""
    reason = _ALTERNATIVES.get(name, "it manages data of a server, not files; see `framepack serve`")
    return f"{command_name(name)} is not for the command line: {reason}."


def command_name(name: str) -> str:
    """The name of an operation or a field on the command line."""
    return name.replace("_", "-")


Schema = Mapping[str, Any]

_TYPES: Final = {"integer": "INTEGER", "number": "NUMBER", "string": "TEXT", "array": "JSON", "object": "JSON"}
_IN_FILES: Final = {
    "operations": ("steps", "JSON file with the steps: a list of {type, params}, or an object with such a list"),
    "preset_name": ("preset", "JSON file with the workflow: an object with active_steps and params"),
}
"""Fields whose value is read from a file: name of the option, and description of the file."""


def option_name(field: str) -> str:
    """The option of a field, such as ``--scale-factor``."""
    name = "preset" if field == "preset_name" else field
    return f"--{command_name(name)}"


def field_options(operation: AnyOperation, usage: FileUsage, notes: Mapping[str, str]) -> Iterator[inspect.Parameter]:
    """A parameter of the command for each field that is an option.

    Args:
        operation: The operation.
        usage: How it is used on files.
        notes: Additions to the descriptions of fields, by field name.
    """
    schema = operation.request.model_json_schema()
    for name in option_fields(operation, usage):
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


def parse_fields(operation: AnyOperation, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given as options, converted to their JSON types."""
    return {
        name: from_text(operation.request, name, value) if isinstance(value, str) else value
        for name, value in given.items()
        if name in operation.request.model_fields and value is not None
    }


def boolean_options(operation: AnyOperation, usage: FileUsage) -> set[str]:
    """The options without a value, such as ``--enhance-face``."""
    properties = operation.request.model_json_schema()["properties"] if operation.request.model_fields else {}
    return {
        option_name(name) for name in option_fields(operation, usage) if properties[name].get("type") == "boolean"
    }


def check_fields(operation: AnyOperation, fields: dict[str, Any]) -> None:
    """Validate the fields, before anything is opened or loaded.

    Raises:
        InvalidField: A field is missing or invalid. The message has the name of its option.
    """
    try:
        operation.request.parse(fields)
    except InvalidField as error:
        name = next((each for each in operation.request.model_fields if error.message.startswith(f"{each} ")), None)
        if name is None:
            raise
        raise InvalidField(option_name(name) + error.message.removeprefix(name)) from error


def _metavar(field: Schema) -> str:
    options = _alternatives(field)
    values = [
        str(value) for each in options for value in each.get("enum", [each["const"]] if "const" in each else [])
    ]
    if values:
        return "|".join(f"'{value}'" if " " in value else value for value in values)
    return _TYPES.get(str(options[0].get("type")), "TEXT")


def _range(field: Schema) -> str:
    for each in _alternatives(field):
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


def _alternatives(field: Schema) -> list[Schema]:
    """The alternatives of a field, without null."""
    return [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]

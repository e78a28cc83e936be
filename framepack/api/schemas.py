"""Base classes of requests and responses, and messages about invalid input, one sentence each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from framepack.api.metrics import OptionalMetrics
from framepack.errors import InvalidField, InvalidSource
from framepack.setting_checks import MAX_URL_CHARACTERS
from framepack.spelling import did_you_mean, shortened

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

M = TypeVar("M", bound=BaseModel)

_BLANKS = " \t\r\n"
_MAX_TOKEN_CHARACTERS = 4096
_TOKEN = re.compile(rf"[!-~]{{1,{_MAX_TOKEN_CHARACTERS}}}")


def whole(value: object) -> object:
    """Convert 5.0 to 5: JSON does not distinguish them. True is not converted: it is not a number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(whole)]
"""A whole number; 5.0 is accepted, "5" and true are not."""


def _trimmed(value: object) -> object:
    return value.strip(_BLANKS) if isinstance(value, str) else value


Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARACTERS), BeforeValidator(_trimmed)]
"""An http or https address, without blanks around it; whether it is allowed is checked when it is used."""


@dataclass(frozen=True)
class DocumentedAs:
    """Metadata of a field whose type documents show more precisely than it is validated.

    Attributes:
        type: What documents show.
    """

    type: Any

    def __get_pydantic_json_schema__(self, _schema: object, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema of that type."""
        return handler(TypeAdapter(self.type).core_schema)


class Request(BaseModel):
    """Base of all requests: strict types and no unknown fields.

    Null means that a field is not given. So does a blank text in an optional field: forms send it for empty inputs.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    sources: ClassVar[tuple[str, ...]] = ()
    """Names of the fields of which exactly one must be given."""

    @model_validator(mode="before")
    @classmethod
    def _without_unset(cls, data: object) -> object:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if not cls._is_unset(key, value)}
        return data

    @classmethod
    def _is_unset(cls, name: object, value: object) -> bool:
        if isinstance(value, str) and isinstance(name, str) and not value.strip(_BLANKS):
            field = cls.model_fields.get(name)
            return field is not None and not field.is_required()
        return value is None

    @classmethod
    def parse(cls, fields: dict[str, Any], place: str = "") -> Self:
        """Parse and check ``fields``.

        Args:
            fields: The fields that the client sent.
            place: Their place in the client's input, such as "operations[2].params"; precedes names in messages.

        Raises:
            InvalidField: A field is invalid; the message names the first one and what is allowed.
            InvalidSource: There is not exactly one source.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidField(_sentence(cls, error, place)) from error


class NoFields(Request):
    """No fields."""


class VideoRequest(Request):
    """A request about one video, given as an address or as base64."""

    sources = ("video_base64", "video_url")

    video_base64: str | None = Field(None, description="Base64-encoded video", repr=False)
    video_url: Url | None = Field(None, description="URL to download video from")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        one_source(**{name: getattr(self, name) for name in self.sources})
        return self


class ImageRequest(Request):
    """A request about one image, given as an address or as base64."""

    sources = ("image_base64", "image_url")

    image_base64: str | None = Field(None, description="Base64-encoded image", repr=False)
    image_url: Url | None = Field(None, description="URL to download image from")

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        one_source(**{name: getattr(self, name) for name in self.sources})
        return self


def _token(value: object) -> object:
    """Check a token that becomes part of a header. The message does not repeat it."""
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(given, str) or not _TOKEN.fullmatch(given):
        raise InvalidField(f"callback_token must have 1 to {_MAX_TOKEN_CHARACTERS} ASCII characters and no spaces.")
    return SecretStr(given)


class CallbackRequest(Request):
    """A request whose end can be reported to an address that the client chooses."""

    callback_url: Url | None = Field(None, description="Webhook URL to receive completion notification")
    callback_token: Annotated[SecretStr, BeforeValidator(_token)] | None = Field(
        None, description="Token that the webhook gets as `Authorization: Bearer`", repr=False
    )

    def described_work(self, operation: str) -> str:
        """What was started, as the first words of "... started in background"."""
        return f"{operation.replace('_', ' ').capitalize()} processing"

    def callback_metadata(self) -> dict[str, Any]:
        """The parameters for the ``metadata`` of the callback: all fields except the source and the receiver."""
        hidden = {"video_base64", "video_url", *CallbackRequest.model_fields}
        return self.model_dump(mode="json", exclude=hidden)

    def callback_results(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the answer for the ``metadata`` of the callback; by default none."""
        del answer
        return {}


class Response(BaseModel):
    """Base of all answers.

    A field with a default is omitted if it has no value. A field without a default is always sent, as null if it has
    no value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    is_kept: ClassVar[bool] = True
    """Whether it can be read again later. If not, its files are only in the answer to the waiting client."""

    def payload(self) -> dict[str, Any]:
        """The answer as JSON data, without top-level fields that have a default and no value."""
        always = {name for name, field in type(self).model_fields.items() if field.is_required()}
        dumped = self.model_dump(mode="json")
        return {name: value for name, value in dumped.items() if value is not None or name in always}


Message = Annotated[str, Field(description="What was done, for people")]
"""The sentence that most answers have."""


Success = Annotated[bool, Field(description="Always true: a failure has an error instead")]
"""The field ``success`` of answers that are never failures."""


class SuccessResponse(Response):
    """Base of the answers with a field ``success``."""

    success: Success = True


class VideoResponse(SuccessResponse):
    """A finished video: its location and, if it is small, the video itself."""

    message: Message
    output_video_base64: str | None = Field(None, repr=False, description="The video, if it is small")
    output_path: str = Field(description="Path of the output in the store")
    output_url: str | None = Field(None, description="URL to download the output file")
    output_filename: str = Field(description="Output filename")
    output_file_size: int = Field(description="Output file size in bytes")
    warnings: list[str] | None = Field(None, description="Non-fatal problems, such as unreadable frames")
    metrics: OptionalMetrics = None


def from_text(model: type[BaseModel], name: str, text: str, parse: Callable[[str], Any] = json.loads) -> Any:
    """Convert ``text``, from a query or a command line, to a value of the field ``name``.

    Unless the field is text, it is parsed as JSON. Text that is not JSON is returned as it is, and refused by the
    model later.

    Args:
        model: The model of the field.
        name: The name of the field, which need not exist.
        text: The text.
        parse: Parses JSON; raises ValueError or RecursionError if the text is not JSON.
    """
    if name in _text_fields(model):
        return text
    try:
        return parse(text)
    except (ValueError, RecursionError):
        return text


@cache
def _text_fields(model: type[BaseModel]) -> frozenset[str]:
    """The names of all fields that accept text."""
    properties = model.model_json_schema().get("properties", {}).items()
    options = {name: (schema, *schema.get("anyOf", ())) for name, schema in properties}
    return frozenset(name for name in options if any(each.get("type") == "string" for each in options[name]))


def redeclared(field: FieldInfo, annotation: Any, **attributes: Any) -> Any:
    """A field like another, for `pydantic.create_model`.

    Args:
        field: The other one.
        annotation: Its type, in place of the other one's.
        attributes: Such as ``default``, in place of the other one's.
    """
    parts = field.asdict()
    return Annotated[(annotation, *parts["metadata"], Field(**{**parts["attributes"], **attributes}))]


def adapted(model: type[M], types: Mapping[type, type]) -> type[M]:
    """A model like ``model``, with other types of fields.

    Args:
        model: The model; it is returned itself if none of its fields changes.
        types: Which type takes the place of which, also inside lists, dictionaries and alternatives.
    """
    annotations = {name: _replaced(field.annotation, types) for name, field in model.model_fields.items()}
    changed: dict[str, Any] = {
        name: redeclared(field, annotations[name])
        for name, field in model.model_fields.items()
        if annotations[name] is not field.annotation
    }
    if not changed:
        return model
    return create_model(model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **changed)


def _replaced(annotation: Any, types: Mapping[type, type]) -> Any:
    if isinstance(annotation, type) and annotation in types:
        return types[annotation]
    inner = get_args(annotation)
    new = tuple(_replaced(each, types) for each in inner)
    if all(a is b for a, b in zip(inner, new, strict=True)):
        return annotation
    origin = get_origin(annotation)
    return reduce(or_, new) if origin in (Union, UnionType) else origin[new]


def one_source(**sources: object) -> None:
    """Check that exactly one of the named sources is given.

    Raises:
        InvalidSource: None or several are given.
    """
    names = " or ".join(sources)
    given = [name for name, value in sources.items() if value]
    if not given:
        raise InvalidSource(f"Either {names} is required")
    if len(given) > 1:
        raise InvalidSource(f"Only one of {' and '.join(sources)} may be given")


def _sentence(model: type[BaseModel], error: ValidationError, place: str) -> str:
    """The message for the client: the first error that pydantic found, as one sentence."""
    first = error.errors(include_url=False)[0]
    name = place
    for part in first["loc"]:
        name += f"[{part}]" if isinstance(part, int) else f".{shortened(part)}"
    return _SENTENCES.get(first["type"], _other)(_model_of(model, first["loc"]), name.lstrip(".") or "input", first)


def _model_of(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the last field of a location: ``model`` or a model inside it."""
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        inner = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), model)
    return model


def _unknown(model: type[BaseModel], name: str, _finding: Any) -> str:
    place, dot, field = name.rpartition(".")
    allowed = sorted(model.model_fields)
    hint = did_you_mean(field, {each: f"'{place}{dot}{each}'" for each in allowed})
    return f"Unknown field '{name}'{hint} Allowed fields: {', '.join(allowed) or 'none'}."


def _missing(_model: type[BaseModel], name: str, _finding: Any) -> str:
    return f"{name} is required."


def _out_of_range(model: type[BaseModel], name: str, finding: Any) -> str:
    field = model.model_fields.get(finding["loc"][-1])
    bounds = {} if field is None else limits(field.metadata)
    shown = _not(finding["input"])
    if "minimum" in bounds and "maximum" in bounds:
        return f"{name} must be between {bounds['minimum']:.10g} and {bounds['maximum']:.10g}{shown}."
    return f"{name} must be {finding['msg'].removeprefix('Input should be ')}{shown}."


def _not(given: object) -> str:
    """The end of a sentence that shows the first 40 characters of what was given."""
    start = given[:40] if isinstance(given, str) else given
    return f", not {start!r:.40}"


def limits(metadata: list[Any]) -> dict[str, float]:
    """The ``minimum`` and ``maximum`` that the metadata of a field set."""
    found: dict[str, float] = {}
    for entry in metadata:
        for attribute, meaning in (("ge", "minimum"), ("le", "maximum")):
            value = getattr(entry, attribute, None)
            if value is not None:
                found[meaning] = value
    return found


def _too_short(_model: type[BaseModel], name: str, finding: Any) -> str:
    least, given = finding["ctx"]["min_length"], finding["ctx"]["actual_length"]
    return f"{name} must have at least {least} item{'s' if least != 1 else ''}, not {given}."


def _too_long(_model: type[BaseModel], name: str, finding: Any) -> str:
    return f"{name} must have at most {finding['ctx']['max_length']} characters, not {len(finding['input'])}."


def _no_object(_model: type[BaseModel], name: str, _finding: Any) -> str:
    return f"{name} must be an object."


def _other(_model: type[BaseModel], name: str, finding: Any) -> str:
    message = finding["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    given = finding["input"]
    shown = _not(given) if isinstance(given, bool | int | float | str) else ""
    return f"{name} must be {message}{shown}."


_SENTENCES = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "model_type": _no_object,
    "dict_type": _no_object,
    "too_short": _too_short,
    "string_too_long": _too_long,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
}

"""Words in which the API document is written down as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

JsonType = Literal["string", "integer", "number", "boolean", "array", "object"]
JsonObject = dict[str, Any]
Location = Literal["body", "query", "path"]
Method = Literal["GET", "POST", "DELETE"]
When = Literal["always", "success", "failure"]


class _NoDefault:
    """The document prints a dash, or nothing at all."""

    def __repr__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values the document lists for a field.

    Attributes:
        listed: The values as printed.
        closed: True when the list is everything that is allowed; False when it only gives examples, because
            users bring more of them (their own models, their own presets).
    """

    listed: tuple[str | int, ...]
    closed: bool = True


@dataclass(frozen=True)
class Param:
    """One documented field of a request.

    Attributes:
        path: Its name; ``.`` enters an object, ``[]`` the items of an array (``operations[].type``).
        type: Its JSON type.
        required: Whether it must be given; None where its table has no such column.
        default: Its documented default, null being None.
        minimum: Least allowed value, None where the document names none.
        maximum: Greatest allowed value, None where the document names none.
        min_items: Least length of an array.
        values: The values the document lists.
        location: Where the REST route carries it.
    """

    path: str
    type: JsonType
    required: bool | None = False
    default: Any = NO_DEFAULT
    minimum: float | None = field(default=None, kw_only=True)
    maximum: float | None = field(default=None, kw_only=True)
    min_items: int | None = field(default=None, kw_only=True)
    values: Values | None = field(default=None, kw_only=True)
    location: Location = field(default="body", kw_only=True)

    @property
    def is_top_level(self) -> bool:
        """Whether it is a field of the request itself, not of an object inside it."""
        return "." not in self.path and "[]" not in self.path

    @property
    def top_level_name(self) -> str:
        """The request's field it is, or is in."""
        return self.path.partition(".")[0].partition("[")[0]


@dataclass(frozen=True)
class Answer:
    """One field of a documented answer.

    Attributes:
        path: Its name; ``.`` enters an object, ``*`` stands for any key, ``[]`` for the items of an array.
        type: Its JSON type.
        nullable: Whether the document shows it as null.
    """

    path: str
    type: JsonType
    nullable: bool = False


@dataclass(frozen=True)
class CallbackField:
    """One field of the callback's payload, and when it is there."""

    name: str
    type: JsonType
    when: When


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    """A documented error: HTTP status and body."""

    status: int
    body: JsonObject


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One documented endpoint.

    Attributes:
        phase: Phase of the document it belongs to, 1 to 4.
        method: HTTP method.
        path: Route, path parameters in braces.
        name: Name of the operation; documented for those with a callback.
        params: Every documented field of the request.
        one_of: Fields of which the document wants one, at the top level.
        examples: The documented example requests, or none.
        sample: A valid request where the document shows none.
        answers: Every field of the documented example answer.
        response: The documented example answer, or None.
        answers_like: Endpoint whose documented answer it shares where the document shows none of its own.
        callback: Operation name in callbacks; None without callback.
        replies_at_once: Whether the document lists it for the immediate answer with ``processing``.
        errors: Error answers that only this endpoint documents.
    """

    phase: Literal[1, 2, 3, 4]
    method: Method
    path: str
    name: str
    params: tuple[Param, ...] = ()
    one_of: tuple[str, ...] = ()
    examples: tuple[JsonObject, ...] = ()
    sample: JsonObject | None = None
    answers: tuple[Answer, ...] = ()
    response: JsonObject | None = None
    answers_like: str | None = None
    callback: str | None = None
    replies_at_once: bool = False
    errors: tuple[ErrorAnswer, ...] = ()

    @property
    def takes_nothing(self) -> bool:
        """Whether a request to it has no fields at all."""
        return not self.params

    @property
    def valid_request(self) -> JsonObject:
        """A request that the document promises to accept."""
        if self.examples:
            return self.examples[0]
        return {} if self.sample is None else self.sample


VIDEO = (Param("video_base64", "string"), Param("video_url", "string"))
ONE_VIDEO = ("video_base64", "video_url")
CALLBACK = Param("callback_url", "string")

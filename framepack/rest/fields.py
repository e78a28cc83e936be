"""From an HTTP request to an operation's fields: path, query and JSON body merged, each named once."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request as HttpRequest

from framepack.api.schemas import from_text
from framepack.errors import BadRequest, InvalidField, TooLarge

if TYPE_CHECKING:
    from framepack.registry import AnyOperation

_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 20
_LONG_BYTES: Final = 100_000
_LARGE_BYTES: Final = 1_000_000
_LARGE_BODIES: Final = 4  # each is in memory some four times while it is read, checked and stored
_JSON_TYPES: Final = ("", "application/json")


@dataclass(frozen=True, slots=True)
class Bodies:
    """How the JSON bodies of one server are read: large ones a few at a time, the others wait outside, unread.

    Attributes:
        max_bytes: Longest body.
        max_seconds: Longest time a body may take to arrive, so that a slow client does not keep others out.
        places: How many large bodies may be in memory.
    """

    max_bytes: int
    max_seconds: float
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE_BODIES))

    @asynccontextmanager
    async def room(self, request: HttpRequest) -> AsyncIterator[None]:
        """Hold a place for the request's body for as long as the block needs it, if it is large or may be."""
        is_large = stated_length(request) > _LARGE_BYTES or "transfer-encoding" in request.headers
        async with self.places if is_large else nullcontext():
            yield

    async def read(self, request: HttpRequest) -> bytearray:
        """The body.

        Raises:
            TooLarge: it has more than ``max_bytes``.
            BadRequest: it takes too long to arrive.
        """
        raw = bytearray()
        try:
            async with asyncio.timeout(self.max_seconds):
                async for chunk in body_of(request, self.max_bytes, "The request's body"):
                    raw += chunk
        except TimeoutError as error:
            raise BadRequest(f"The request's body must arrive within {self.max_seconds:g} seconds.") from error
        return raw


async def fields_of(request: HttpRequest, operation: AnyOperation, bodies: Bodies) -> dict[str, Any]:
    """Collect the fields that a request carries, unchecked but for their form.

    Raises:
        InvalidField: the body is not one JSON object, or a field is given twice.
        TooLarge, BadRequest: the body is too long or too slow.
    """
    content_type = request.headers.get("content-type", "")
    raw = await bodies.read(request)
    if len(raw) > _LONG_BYTES:  # as long as a video perhaps: others must not wait for it
        body = await asyncio.to_thread(parsed_body, raw, content_type)
    else:
        body = parsed_body(raw, content_type)
    query = query_fields(request.query_params.multi_items(), operation)
    return _merged({"the path": request.path_params, "the query": query, "the body": body})


async def body_of(request: HttpRequest, max_bytes: int, what: str) -> AsyncGenerator[bytes, None]:
    """Pass the body on as it arrives, and stop as soon as it is too long.

    Args:
        request: The request.
        max_bytes: Most bytes that are allowed.
        what: What the client sends, as the first words of a sentence.

    Raises:
        TooLarge: it has more, or says so.
    """
    received = stated_length(request)
    if received <= max_bytes:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > max_bytes:
                break
            yield chunk
    if received > max_bytes:
        raise TooLarge(f"{what} must have at most {max_bytes / 1e6:g} MB.")


def stated_length(request: HttpRequest) -> int:
    """How many bytes the request says its body has; 0 if it does not say."""
    stated = request.headers.get("content-length", "")
    return int(stated[:20]) if stated.isascii() and stated.isdecimal() else 0


def parsed_body(body: bytes | bytearray, content_type: str) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an empty object.

    Raises:
        InvalidField: it is something else, names a field twice, or holds what JSON has not (NaN, broken text).
    """
    if not body or body.isspace():
        return {}
    if content_type.partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise InvalidField("The body must be JSON, with the header Content-Type: application/json.")
    try:
        content = _parsed(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise InvalidField("The body is not valid JSON.") from error
    if not isinstance(content, dict):
        raise InvalidField("The body must be a JSON object.")
    return content


def query_fields(items: Sequence[tuple[str, str]], operation: AnyOperation) -> dict[str, Any]:
    """The query's fields, with numbers and booleans read as JSON where the operation wants them.

    Raises:
        InvalidField: one is given twice.
    """
    return _once_each((name, from_text(operation.request, name, text, _parsed)) for name, text in items)


def declared_query(request: HttpRequest) -> None:
    """Return if a route that is no operation has declared everything in the query.

    Raises:
        InvalidField: naming the first parameter that it does not know.
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            raise InvalidField(f"Unknown field '{name[:80]}'. Allowed fields: {', '.join(sorted(known)) or 'none'}.")


def _parsed(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        InvalidField: it names a field twice, or holds what JSON has not.
        ValueError, RecursionError: it is not JSON.
    """
    content = json.loads(
        text, object_pairs_hook=_once_each, parse_constant=_no_number, parse_float=_finite, parse_int=_moderate
    )
    _check(content, _MAX_DEPTH)
    return content


def _merged(places: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for place, found in places.items():
        for name, value in found.items():
            if name in fields:
                raise InvalidField(f"{name[:80]} is given twice, the second time in {place}.")
            fields[name] = value
    return fields


def _once_each(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidField(f"{name[:80]!r} is given twice.")
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise InvalidField(f"{text} is not a JSON number.")


def _moderate(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise InvalidField("A number is too large.")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidField("A number is too large.")
    return number


def _check(value: Any, depth: int) -> None:
    """Refuse nesting without end and text with half characters, which no file or answer can carry."""
    if depth == 0:
        raise InvalidField(f"The body must be nested at most {_MAX_DEPTH} deep.")
    if isinstance(value, str):
        value.isascii() or value.encode()
    elif isinstance(value, dict):
        for name, each in value.items():
            _check(name, depth)
            _check(each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            _check(each, depth - 1)

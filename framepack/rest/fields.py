"""The fields of an HTTP request, from path, query and JSON body. No field may be given twice."""

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
_LARGE_BODIES: Final = 4  # each takes about four times its size while it is read, parsed and stored
_JSON_TYPES: Final = ("", "application/json")


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads JSON bodies. Only a few large bodies are in memory at once; others wait, unread.

    Attributes:
        max_bytes: Maximum size of a body.
        max_seconds: Maximum time for receiving a body, so that slow clients do not block the slots.
        large_slots: Limits the number of large bodies in memory.
    """

    max_bytes: int
    max_seconds: float
    large_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE_BODIES))

    @asynccontextmanager
    async def slot(self, request: HttpRequest) -> AsyncIterator[None]:
        """Hold a slot during the ``with`` block, if the body is large or its size is unknown."""
        is_large = stated_length(request) > _LARGE_BYTES or "transfer-encoding" in request.headers
        async with self.large_slots if is_large else nullcontext():
            yield

    async def read(self, request: HttpRequest) -> bytearray:
        """Read the body.

        Raises:
            TooLarge: the body is larger than ``max_bytes``.
            BadRequest: the body did not arrive in time.
        """
        raw = bytearray()
        try:
            async with asyncio.timeout(self.max_seconds):
                async for chunk in body_chunks(request, self.max_bytes, "The request's body"):
                    raw += chunk
        except TimeoutError as error:
            raise BadRequest(f"The request's body must arrive within {self.max_seconds:g} seconds.") from error
        return raw


async def request_fields(request: HttpRequest, operation: AnyOperation, bodies: BodyReader) -> dict[str, Any]:
    """Collect the fields of a request, not yet validated.

    Raises:
        InvalidField: the body is not a JSON object, or a field is given twice.
        TooLarge, BadRequest: the body is too large or too slow.
    """
    content_type = request.headers.get("content-type", "")
    raw = await bodies.read(request)
    if len(raw) > _LONG_BYTES:  # parsing takes long: keep it out of the event loop
        body = await asyncio.to_thread(parsed_body, raw, content_type)
    else:
        body = parsed_body(raw, content_type)
    query = query_fields(request.query_params.multi_items(), operation)
    return _merged({"the path": request.path_params, "the query": query, "the body": body})


async def body_chunks(request: HttpRequest, max_bytes: int, what: str) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives, and stop as soon as it is too large.

    Args:
        request: The request.
        max_bytes: Maximum size of the body.
        what: Name of the body, as the subject of an error message.

    Raises:
        TooLarge: the body, or its stated length, is larger than ``max_bytes``.
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
    """The ``Content-Length`` of the request; 0 if it has none."""
    stated = request.headers.get("content-length", "")
    return int(stated[:20]) if stated.isascii() and stated.isdecimal() else 0


def parsed_body(body: bytes | bytearray, content_type: str) -> dict[str, Any]:
    """Parse a body as a JSON object. An empty body is an empty object.

    Raises:
        InvalidField: it is something else, has a field twice, or has values that are not valid JSON, such as NaN.
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
    """The fields in the query, with numbers and booleans converted as the operation's model requires.

    Raises:
        InvalidField: a field is given twice.
    """
    return _unique((name, from_text(operation.request, name, text, _parsed)) for name, text in items)


def check_query(request: HttpRequest) -> None:
    """Check that the query has only parameters that the route declares; for routes that are not operations.

    Raises:
        InvalidField: the query has an unknown parameter.
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            raise InvalidField(f"Unknown field '{name[:80]}'. Allowed fields: {', '.join(sorted(known)) or 'none'}.")


def _parsed(text: str) -> Any:
    """Parse JSON.

    Raises:
        InvalidField: an object has a field twice, or a value is out of range.
        ValueError, RecursionError: the text is not JSON.
    """
    content = json.loads(
        text,
        object_pairs_hook=_unique,
        parse_constant=_refuse_constant,
        parse_float=_finite_float,
        parse_int=_bounded_int,
    )
    _check_depth_and_text(content, _MAX_DEPTH)
    return content


def _merged(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for source, found in sources.items():
        for name, value in found.items():
            if name in fields:
                raise InvalidField(f"{name[:80]} is given twice, the second time in {source}.")
            fields[name] = value
    return fields


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidField(f"{name[:80]!r} is given twice.")
        found[name] = value
    return found


def _refuse_constant(text: str) -> float:
    raise InvalidField(f"{text} is not a JSON number.")


def _bounded_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise InvalidField("A number is too large.")
    return int(text)


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidField("A number is too large.")
    return number


def _check_depth_and_text(value: Any, depth: int) -> None:
    """Refuse deep nesting, and text with lone surrogates, which cannot be encoded as UTF-8."""
    if depth == 0:
        raise InvalidField(f"The body must be nested at most {_MAX_DEPTH} deep.")
    if isinstance(value, str):
        value.isascii() or value.encode()
    elif isinstance(value, dict):
        for name, each in value.items():
            _check_depth_and_text(name, depth)
            _check_depth_and_text(each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            _check_depth_and_text(each, depth - 1)

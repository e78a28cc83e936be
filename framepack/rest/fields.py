"""The fields of an HTTP request, from path, query and JSON body. No field may be given twice."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request as HttpRequest

from framepack.api.schemas import from_text
from framepack.errors import InvalidField
from framepack.rest.bodies import Body
from framepack.spelling import shortened

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant

    from framepack.processing.operation import AnyOperation

_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 20
_MAX_NAME: Final = 200  # characters


async def request_fields(request: HttpRequest, operation: AnyOperation, body: Body) -> dict[str, Any]:
    """Collect the fields of a request, not yet validated.

    Raises:
        InvalidField: the body is not a JSON object, or a field is given twice.
    """
    parsed = parsed_body(body) if body.is_short else await asyncio.to_thread(parsed_body, body)
    query = query_fields(request.query_params.multi_items(), operation)
    return _merged({"the path": request.path_params, "the query": query, "the body": parsed})


def parsed_body(body: Body) -> dict[str, Any]:
    """Parse a body as a JSON object. An empty body is an empty object.

    Raises:
        InvalidField: it is something else, has a field twice, or has values that are not valid JSON, such as NaN.
    """
    try:
        text = body.text()
        content = {} if not text or text.isspace() else _parsed(text)
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
    known = set(_query_parameters(request.scope["route"].dependant))
    for name in request.query_params:
        if name not in known:
            raise InvalidField(
                f"Unknown field '{shortened(name)}'. Allowed fields: {', '.join(sorted(known)) or 'none'}."
            )


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    """The parameters that a route declares, or what it depends on."""
    yield from (parameter.alias for parameter in dependant.query_params)
    for each in dependant.dependencies:
        yield from _query_parameters(each)


def _parsed(text: str) -> Any:
    """Parse JSON.

    Raises:
        InvalidField: an object has a field twice, a name is too long, or a value is out of range.
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
                raise InvalidField(f"{shortened(name)} is given twice, the second time in {source}.")
            fields[name] = value
    return fields


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if len(name) > _MAX_NAME:
            raise InvalidField(f"The name of a field must have at most {_MAX_NAME} characters, not {len(name):,}.")
        if name in found:
            raise InvalidField(f"{shortened(name)!r} is given twice.")
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

"""Authentication: an API key in ``X-API-Key`` on every route, except health checks, open pages and signed links."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, Unauthorized
from framepack.rest.docs_page import DOCS
from framepack.rest.errors import error_response
from framepack.rest.studio_page import STUDIO

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS: Final = frozenset({"/health", "/ping", "/ready"})

PAGES: Final = DOCS.paths | STUDIO.paths
"""Paths of pages and of the files that they load. They hold no secret and need no key."""

PASSWORD_PATHS: Final = frozenset({"/openapi.json", "/metrics"})
"""Paths that also accept the API key as a password (Basic authentication), as browsers and Prometheus send it."""

CheckLink = Callable[[str, bytes], Awaitable[None]]
"""Checks (path, query): returns if it is a valid signed link, and raises Unauthorized otherwise."""

_CALLER: Final = "framepack.caller"
_HEADER: Final = b"x-api-key"
_ID_PREFIX: Final = b"framepack caller "
_ID_CHARACTERS: Final = 16
_REALM: Final = 'Basic realm="Any user name, the API key as the password"'


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The digests of the valid API keys. There may be several, so that keys can be replaced without downtime.

    Attributes:
        digests: SHA-256 of each key.
    """

    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, keys: Iterable[str]) -> ApiKeys:
        """The given keys.

        Raises:
            ValueError: there are none.
        """
        digests = tuple(_digest(key.encode()) for key in keys)
        if not digests:
            raise ValueError("at least one API key is needed")
        return cls(digests)

    def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The id of the key in the headers; None if there is not exactly one, or if it is not valid.

        Takes the same time for all keys.
        """
        given = [value for name, value in headers if name == _HEADER]
        return self._id(given[0]) if len(given) == 1 else None

    def caller_by_password(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The id of the key that is the password of the headers; None if it is not valid."""
        for name, value in headers:
            if name == b"authorization" and value[:6].lower() == b"basic ":
                try:
                    _, _, password = base64.b64decode(value[6:], validate=True).partition(b":")
                except binascii.Error:
                    return None
                return self._id(password)
        return None

    def _id(self, key: bytes) -> str | None:
        digest = _digest(key)
        is_valid = any([hmac.compare_digest(digest, ours) for ours in self.digests])  # noqa: C419 - compare with all
        return _digest(_ID_PREFIX + digest).hex()[:_ID_CHARACTERS] if is_valid else None


def new_key() -> str:
    """A random key, for a server without configured keys."""
    return f"fp_{secrets.token_urlsafe(24)}"


class RequireApiKey:
    """ASGI middleware that answers 401 to requests without a key or signed link, also on routes that do not exist.

    Args:
        app: The application.
        keys: The valid keys.
        check_link: Checks the signed link of a request without a key.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, check_link: CheckLink) -> None:
        self._app = app
        self._keys = keys
        self._check_link = check_link

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        path = scope.get("path", "")
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        caller = self._caller(path, scope["headers"])
        if path in OPEN_PATHS or path in PAGES or caller is not None:
            await self._app({**scope, _CALLER: caller}, receive, send)
            return
        try:
            if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
                raise missing_key()
            await self._check_link(path, scope["query_string"])
        except FramepackError as error:
            if isinstance(error, Unauthorized) and _has_bearer(scope["headers"]):
                error = Unauthorized("Send the API key in the X-API-Key header, not as Authorization: Bearer.")
            extra = {"WWW-Authenticate": _REALM} if path in PASSWORD_PATHS else {}
            await error_response(error, extra)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _caller(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        caller = self._keys.caller(headers)
        if caller is None and path in PASSWORD_PATHS:
            return self._keys.caller_by_password(headers)
        return caller


def has_key(scope: Scope) -> bool:
    """Whether a request that `RequireApiKey` has passed on has a valid key."""
    return scope.get(_CALLER) is not None


def caller_id(scope: Scope) -> str:
    """The id of the key of a request that `RequireApiKey` has passed on: 16 hexadecimal digits, none without a key.

    It is the same in every server and run, and does not reveal the key.
    """
    return scope.get(_CALLER) or ""


def missing_key() -> Unauthorized:
    """The documented error for a missing or wrong key or link."""
    return Unauthorized("Invalid or missing API key")


def _has_bearer(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the client sent a bearer token, as other services expect it, and no API key."""
    given = dict(headers)
    return _HEADER not in given and given.get(b"authorization", b"")[:7].lower() == b"bearer "


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

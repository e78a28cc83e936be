"""Authentication: an API key in ``X-API-Key`` on every route, except health checks and signed links."""

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
from framepack.rest.docs_page import PAGES
from framepack.rest.errors import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS: Final = frozenset({"/health", "/ping"})

CheckLink = Callable[[str, bytes], Awaitable[None]]
"""Checks (path, query): returns if it is a valid signed link, and raises Unauthorized otherwise."""

_HAS_KEY: Final = "framepack.has_key"
_HEADER: Final = b"x-api-key"
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

    def allow(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the headers have exactly one key, and it is valid. Takes the same time for all keys."""
        given = [value for name, value in headers if name == _HEADER]
        return len(given) == 1 and self._is_valid(given[0])

    def allow_page(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the password of a browser's login dialog is a valid key."""
        for name, value in headers:
            if name == b"authorization" and value[:6].lower() == b"basic ":
                try:
                    _, _, password = base64.b64decode(value[6:], validate=True).partition(b":")
                except binascii.Error:
                    return False
                return self._is_valid(password)
        return False

    def _is_valid(self, key: bytes) -> bool:
        digest = _digest(key)
        return any([hmac.compare_digest(digest, ours) for ours in self.digests])  # noqa: C419 - compare with all


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
        is_authorized = scope["type"] != "lifespan" and self._has_key(path, scope["headers"])
        if scope["type"] == "lifespan" or path in OPEN_PATHS or is_authorized:
            await self._app({**scope, _HAS_KEY: is_authorized}, receive, send)
            return
        try:
            if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
                raise missing_key()
            await self._check_link(path, scope["query_string"])
        except FramepackError as error:
            if isinstance(error, Unauthorized) and _has_bearer(scope["headers"]):
                error = Unauthorized("Send the API key in the X-API-Key header, not as Authorization: Bearer.")
            extra = {"WWW-Authenticate": _REALM} if path in PAGES else {}
            await error_response(error, extra)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _has_key(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        return self._keys.allow(headers) or (path in PAGES and self._keys.allow_page(headers))


def has_key(scope: Scope) -> bool:
    """Whether a request that `RequireApiKey` has passed on has a valid key."""
    return bool(scope.get(_HAS_KEY))


def missing_key() -> Unauthorized:
    """The documented error for a missing or wrong key or link."""
    return Unauthorized("Invalid or missing API key")


def _has_bearer(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the client sent a bearer token, as other services expect it, and no API key."""
    given = dict(headers)
    return _HEADER not in given and given.get(b"authorization", b"")[:7].lower() == b"bearer "


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

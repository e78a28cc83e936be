"""Who may ask: one of the configured keys in ``X-API-Key``, on every route but those of health and signed links."""

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
"""Returns if (path, query) is a signed link of ours that still works; raises Unauthorized otherwise."""

_MARK: Final = "framepack.has_key"
_HEADER: Final = b"x-api-key"
_REALM: Final = 'Basic realm="Any user name, the API key as the password"'


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The digests of the keys that open the door; several, so that keys can be exchanged without a gap.

    Attributes:
        digests: SHA-256 of each key.
    """

    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, keys: Iterable[str]) -> ApiKeys:
        """The keys as they are configured.

        Raises:
            ValueError: there is none, so nobody could ever be let in.
        """
        digests = tuple(_digest(key.encode()) for key in keys)
        if not digests:
            raise ValueError("at least one API key is needed")
        return cls(digests)

    def allow(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether exactly one key stands in the headers, and is one of ours; takes as long whichever it is."""
        given = [value for name, value in headers if name == _HEADER]
        return len(given) == 1 and self._knows(given[0])

    def allow_page(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a browser sent one of our keys as the password of its own dialog."""
        for name, value in headers:
            if name == b"authorization" and value[:6].lower() == b"basic ":
                try:
                    _, _, password = base64.b64decode(value[6:], validate=True).partition(b":")
                except binascii.Error:
                    return False
                return self._knows(password)
        return False

    def _knows(self, key: bytes) -> bool:
        digest = _digest(key)
        return any([hmac.compare_digest(digest, ours) for ours in self.digests])  # noqa: C419 - compare with all


def new_key() -> str:
    """A key for one run, for a server that was given none."""
    return f"fp_{secrets.token_urlsafe(24)}"


class KeyGate:
    """ASGI middleware that lets nobody past without a key or a signed link, not even to see which routes there are.

    Args:
        app: What is behind the gate.
        keys: Who may pass.
        check_link: Judges the signed link of a request without a key, as browsers and receivers send them.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, check_link: CheckLink) -> None:
        self._app = app
        self._keys = keys
        self._check_link = check_link

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        path = scope.get("path", "")
        is_known = scope["type"] != "lifespan" and self._has_key(path, scope["headers"])
        if scope["type"] == "lifespan" or path in OPEN_PATHS or is_known:
            await self._app({**scope, _MARK: is_known}, receive, send)
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
    """Whether a request that the gate let pass carries a key of ours."""
    return bool(scope.get(_MARK))


def missing_key() -> Unauthorized:
    """The documented error, whatever is wrong with the key or the link."""
    return Unauthorized("Invalid or missing API key")


def _has_bearer(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a client sent a token where other services want one, and nothing where we want it."""
    given = dict(headers)
    return _HEADER not in given and given.get(b"authorization", b"")[:7].lower() == b"bearer "


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

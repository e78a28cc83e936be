"""Signed links to the REST server, which expire; for browsers and receivers that have no API key."""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from framepack.errors import InvalidField, NotFound, StorageFailed
from framepack.storage.base import object_not_found
from framepack.storage.documents import STATE, Documents
from framepack.storage.keys import Key
from framepack.storage.outputs import PUBLIC_ROOT
from framepack.storage.reservations import reservation

if TYPE_CHECKING:
    from framepack.storage.base import Storage

_FOLDER: Final = "settings"
_SECRET: Final = "link-secret"  # noqa: S105 - the name of a document
_MAX_DIGITS: Final = 12
_TRIES: Final = 50
_WAIT_SECONDS: Final = 0.1


class LinkStatus(Enum):
    """Whether a signed link is accepted."""

    VALID = auto()
    EXPIRED = auto()
    INVALID = auto()


@dataclass(frozen=True, slots=True)
class LinkSigner:
    """Signs links to the REST server and verifies them.

    A link opens one resource: an object, given by its key, or another path of the server, given with its slash at the
    beginning. No key begins with one, so that a link to one of them never opens the other.

    Attributes:
        secret: The signing key, the same in every process of a deployment.
        lifetime_seconds: How long a link is valid.
        clock: Returns the time in seconds since 1970.
    """

    secret: bytes
    lifetime_seconds: int
    clock: Callable[[], float] = time.time

    def query(self, resource: Key | str) -> str:
        """The query of a link: with it, the resource is served without an API key."""
        expires = int(self.clock()) + self.lifetime_seconds
        return urlencode({"expires": expires, "signature": self._signature(resource, expires)})

    def verify(self, resource: Key | str, expires: str, signature: str) -> LinkStatus:
        """Check the two values in the query of a link."""
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= _MAX_DIGITS):
            return LinkStatus.INVALID
        expected = self._signature(resource, int(expires))
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return LinkStatus.INVALID
        return LinkStatus.VALID if self.clock() < int(expires) else LinkStatus.EXPIRED

    def _signature(self, resource: Key | str, expires: int) -> str:
        return hmac.new(self.secret, f"{expires}\n{resource}".encode(), hashlib.sha256).hexdigest()


def load_or_create_secret(state: Storage) -> bytes:
    """The deployment's signing secret, created once and kept in its store, so that links outlive the process.

    When several processes start at the same moment, one creates it and the others wait.
    """
    documents = Documents(state, _FOLDER, _parse)
    for _ in range(_TRIES):
        with suppress(NotFound):
            return documents.read(_SECRET)
        with reservation(state, _SECRET) as is_ours:
            if is_ours and state.stat(documents.key(_SECRET)) is None:
                documents.save(_SECRET, {"secret": secrets.token_hex(32)}, private=True)
        time.sleep(_WAIT_SECONDS * random.random())  # noqa: S311 - keeps two processes from colliding again and again
    raise StorageFailed("The secret that signs links could not be created; try again later.")


def signed_url(public_url: str, key: Key, signer: LinkSigner) -> str:
    """The link to an object of a local store, served by the REST server."""
    return f"{public_url.rstrip('/')}{PUBLIC_ROOT}{quote(key.text)}?{signer.query(key)}"


def key_of_own_url(url: str, public_url: str | None) -> Key | None:
    """The key in a URL of this deployment: a path below ``/outputs/``, alone or after the public address.

    Raises:
        NotFound: it names an internal object, or no object.
    """
    path = url.removeprefix(public_url.rstrip("/")) if public_url else url
    if not path.startswith(PUBLIC_ROOT):
        return None
    try:
        key = Key.parse(unquote(urlsplit(path).path.removeprefix(PUBLIC_ROOT), errors="strict"))
    except (InvalidField, UnicodeError) as error:
        raise object_not_found() from error
    if key.segments[0] == STATE.text:
        raise object_not_found()
    return key


def _parse(content: dict[str, Any]) -> bytes:
    secret = content.get("secret")
    if not isinstance(secret, str):
        raise InvalidField("secret must be text.")
    return bytes.fromhex(secret)

"""Signed, expiring links to files of a local store, for browsers and receivers that have no API key."""

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
    """What a signed address is worth."""

    VALID = auto()
    EXPIRED = auto()
    INVALID = auto()


@dataclass(frozen=True, slots=True)
class LinkSigner:
    """Signs addresses below ``/outputs/`` and recognizes its own signatures.

    Attributes:
        secret: Signs; the same in every process of a deployment.
        lifetime_seconds: How long a link works.
        clock: The time, in seconds since 1970.
    """

    secret: bytes
    lifetime_seconds: int
    clock: Callable[[], float] = time.time

    def query(self, key: Key) -> str:
        """What must stand behind ``?`` for the object to be given without an API key."""
        expires = int(self.clock()) + self.lifetime_seconds
        return urlencode({"expires": expires, "signature": self._signature(key, expires)})

    def state(self, key: Key, expires: str, signature: str) -> LinkStatus:
        """What kind of link has these two values in its query."""
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= _MAX_DIGITS):
            return LinkStatus.INVALID
        ours = self._signature(key, int(expires))
        if not hmac.compare_digest(ours.encode(), signature.encode("utf-8", "replace")):
            return LinkStatus.INVALID
        return LinkStatus.VALID if self.clock() < int(expires) else LinkStatus.EXPIRED

    def _signature(self, key: Key, expires: int) -> str:
        return hmac.new(self.secret, f"{expires}\n{key}".encode(), hashlib.sha256).hexdigest()


def load_or_create_secret(state: Storage) -> bytes:
    """The deployment's own secret, made once and kept in its store, so that links outlive the process.

    Of processes that begin at the same moment, one makes it and the others wait for it.
    """
    documents = Documents(state, _FOLDER, _parse)
    for _ in range(_TRIES):
        with suppress(NotFound):
            return documents.read(_SECRET)
        with reservation(state, _SECRET) as is_ours:
            if is_ours and state.stat(documents.key(_SECRET)) is None:
                documents.save(_SECRET, {"secret": secrets.token_hex(32)})
        time.sleep(_WAIT_SECONDS * random.random())  # noqa: S311 - only keeps two from meeting again and again
    raise StorageFailed("The secret that signs links could not be made; try again later.")


def signed_url(public_url: str, key: Key, signer: LinkSigner) -> str:
    """The address of an object of a local store on the REST side."""
    return f"{public_url.rstrip('/')}{PUBLIC_ROOT}{quote(key.text)}?{signer.query(key)}"


def key_of_own_url(url: str, public_url: str | None) -> Key | None:
    """The object that an address of our own names: a path below ``/outputs/``, alone or behind our public address.

    Raises:
        NotFound: it names what no client may read, or nothing at all.
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

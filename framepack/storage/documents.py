"""Small JSON documents in the store: one object each, so that writers of different documents never collide."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import quote, unquote

from framepack.errors import BadRequest, InvalidField, NotFound, TooLarge
from framepack.files.parallel import in_parallel
from framepack.storage.keys import Key

if TYPE_CHECKING:
    from framepack.storage.base import Storage, StoredObject

log = logging.getLogger("framepack.storage")

T = TypeVar("T")

STATE: Final = Key("state")
DAMAGED: Final = STATE / "damaged"
MAX_BYTES: Final = 65_536

_SUFFIX: Final = ".json"
_PLAIN: Final = frozenset(" ._-+()[]{}',!&@#=~")
_NAMES: Final = "A name must have 1 to about 80 letters, digits or punctuation marks."
_CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Documents(Generic[T]):
    """The JSON documents of one folder, by names that clients choose.

    A damaged document (truncated, edited by hand, of the wrong shape) is treated as missing: it is moved to
    ``state/damaged`` with a warning in the log, so that it does not block the others.

    Attributes:
        storage: The store that holds them.
        folder: Name of their folder under ``state``.
        parse: Converts the JSON object of a document; raises BadRequest if it has the wrong shape.
    """

    storage: Storage
    folder: str
    parse: Callable[[dict[str, Any]], T]

    def read(self, name: str) -> T:
        """The document called ``name``.

        Raises:
            NotFound: It does not exist.
            InvalidField: No document can have this name.
        """
        key = self.key(name)
        found = self._parsed(key, self.storage.read(key))
        if found is None:
            raise NotFound("The stored document does not exist.")
        return found[0]

    def list(self) -> Iterator[tuple[str, T]]:
        """Every document with its name, in the order of their keys."""
        for name, found in in_parallel(self._loaded, self.stored()):
            if found is not None:
                yield name, found[0]

    def count(self) -> int:
        """Number of documents, including damaged ones."""
        return sum(1 for _ in self.stored())

    def names(self) -> Iterator[str]:
        """The names of all documents, including damaged ones, in the order of their keys."""
        return (name for name, _ in self.stored())

    def stored(self) -> Iterator[tuple[str, StoredObject]]:
        """Name and stored object of each document, including damaged ones, in the order of their keys."""
        for stored in self.storage.list(STATE / self.folder):
            name = self._name(stored.key)
            if name is not None:
                yield name, stored

    def save(self, name: str, content: Mapping[str, Any], *, private: bool = False) -> bool:
        """Write a document atomically; the last writer wins.

        Args:
            name: The document's name.
            content: Its content.
            private: Whether it holds a secret; see `Storage.put_bytes`.

        Returns:
            Whether it replaced a document of that name.

        Raises:
            InvalidField: No document can have this name, or the content is not JSON.
            TooLarge: The document has more than ``MAX_BYTES``.
        """
        key = self.key(name)
        try:
            data = json.dumps(content, allow_nan=False, indent=1).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidField("The document must consist of JSON values.") from error
        if len(data) > MAX_BYTES:
            raise TooLarge(f"The document has {len(data)} bytes (maximum {MAX_BYTES}).")
        replaced = self.storage.stat(key) is not None
        self.storage.put_bytes(key, data, content_type=_CONTENT_TYPE, private=private)
        return replaced

    def delete(self, name: str) -> bool:
        """Remove a document; return whether it existed."""
        return self.storage.delete(self.key(name))

    def key(self, name: str) -> Key:
        """The key of a document: characters that are not allowed in keys are percent-encoded."""
        normal = unicodedata.normalize("NFC", name)
        first = "" if normal[:1].strip(" .") else _escaped(normal[:1])
        try:
            written = first + "".join(
                char if char.isalnum() or char in _PLAIN else _escaped(char) for char in normal[len(first) and 1 :]
            )
            return STATE / self.folder / (written + _SUFFIX)
        except (UnicodeEncodeError, InvalidField) as error:
            raise InvalidField(_NAMES) from error

    def _loaded(self, named: tuple[str, StoredObject]) -> tuple[str, tuple[T] | None]:
        name, stored = named
        try:
            return name, self._parsed(stored.key, self.storage.read(stored.key))
        except NotFound:  # deleted meanwhile
            return name, None

    def _name(self, key: Key) -> str | None:
        """The name of the document at ``key``; None if it is not a document of this folder."""
        is_ours = len(key.segments) == len(STATE.segments) + 2 and key.name.endswith(_SUFFIX)
        return unquote(key.name.removesuffix(_SUFFIX)) if is_ours else None

    def _parsed(self, key: Key, data: bytes) -> tuple[T] | None:
        try:
            if len(data) > MAX_BYTES:
                raise ValueError("too long")  # noqa: TRY301 - handled like any other damage
            content = json.loads(data)
            if not isinstance(content, dict):
                raise ValueError("not an object")  # noqa: TRY301, TRY004 - likewise
            return (self.parse(content),)
        except (ValueError, RecursionError, BadRequest) as error:
            self._set_aside(key, data, error)
            return None

    def _set_aside(self, key: Key, data: bytes, error: Exception) -> None:
        log.warning("%s is damaged (%s) and was set aside", key, type(error).__name__)
        self.storage.put_bytes(DAMAGED / self.folder / key.name, data)
        if self.storage.stat(key) is not None and self.storage.read(key) == data:  # and nobody has replaced it
            self.storage.delete(key)


def _escaped(char: str) -> str:
    return "%2E" if char == "." else quote(char, safe="")

"""Markers of unfinished frame folders: a marker object exists while a folder is being filled or deleted.

The marker is written before the first object of the folder changes and removed after the last one has changed. So a
folder without a marker is complete, whenever the work on it was killed. A folder with one is hidden, and removed once
nobody has refreshed its marker for a while.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from framepack.errors import Conflict, InvalidField, NotFound
from framepack.storage.documents import STATE

if TYPE_CHECKING:
    from framepack.storage.base import Storage, StoredObject
    from framepack.storage.keys import Key

_FOLDER: Final = STATE / "unfinished_folders"
_SUFFIX: Final = ".json"
_REFRESH_SECONDS: Final = 30.0


@dataclass(slots=True)
class UnfinishedMarker:
    """The marker of one folder. Its content identifies the work that wrote it."""

    storage: Storage
    folder: str
    _id: str = field(default_factory=lambda: uuid4().hex)
    _written: float = 0.0

    def write(self) -> None:
        """Write the marker, replacing one of other work."""
        self._written = time.monotonic()
        self.storage.put_bytes(self._key, self._content, content_type="application/json")

    def refresh(self) -> None:
        """Write the marker again if the last time was a while ago, to show that the work goes on."""
        if self.needs_refresh:
            self.write()

    @property
    def needs_refresh(self) -> bool:
        """Whether the marker was last written a while ago."""
        return time.monotonic() - self._written > _REFRESH_SECONDS

    def check(self) -> None:
        """Return if the marker is still the one that this work wrote.

        Raises:
            Conflict: It is not: the folder was taken for an abandoned one and removed.
        """
        content = None
        with suppress(NotFound):
            content = self.storage.read(self._key)
        if content != self._content:
            raise Conflict("The folder was cleared away while it was being filled; extract the frames again.")

    def remove(self) -> None:
        """Remove the marker: the folder, or what is left of it, becomes visible."""
        self.storage.delete(self._key)

    @property
    def _key(self) -> Key:
        return _FOLDER / (self.folder + _SUFFIX)

    @property
    def _content(self) -> bytes:
        return json.dumps({"id": self._id}).encode()


def is_unfinished(storage: Storage, folder: str) -> bool:
    """Whether a folder is being filled or deleted."""
    return storage.stat(_FOLDER / (folder + _SUFFIX)) is not None


def unfinished_folders(storage: Storage) -> Iterator[tuple[str, StoredObject]]:
    """The folders that are being filled or deleted, each with its stored marker."""
    for stored in storage.list(_FOLDER):
        with suppress(InvalidField):
            if stored.key.name.endswith(_SUFFIX) and stored.key == _FOLDER / stored.key.name:
                yield stored.key.name.removesuffix(_SUFFIX), stored

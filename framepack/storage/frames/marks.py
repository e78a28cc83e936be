"""The journal of frame folders: a mark lies in the store while a folder is being filled or emptied.

The mark is there before the first object and until after the last one, so a folder without one is whole, whenever
the work on it was killed. A folder with one is not shown, and swept up when nobody has refreshed its mark for long.
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

_FOLDER: Final = STATE / "unfinished_folders"
_SUFFIX: Final = ".json"
_REFRESH_SECONDS: Final = 30.0


@dataclass(slots=True)
class Mark:
    """The mark of one folder, held by the work that set it."""

    storage: Storage
    folder: str
    _id: str = field(default_factory=lambda: uuid4().hex)
    _written: float = 0.0

    def set(self) -> None:
        """Write the mark, over anybody else's."""
        self._written = time.monotonic()
        self.storage.put_bytes(_FOLDER / (self.folder + _SUFFIX), self._content, content_type="application/json")

    def refresh(self) -> None:
        """Show that the work goes on, if that has not been shown for a while."""
        if self.is_due:
            self.set()

    @property
    def is_due(self) -> bool:
        """Whether the mark should be refreshed."""
        return time.monotonic() - self._written > _REFRESH_SECONDS

    def check(self) -> None:
        """Return if the mark is still ours.

        Raises:
            Conflict: It is not: the folder was swept up.
        """
        content = None
        with suppress(NotFound):
            content = self.storage.read(_FOLDER / (self.folder + _SUFFIX))
        if content != self._content:
            raise Conflict("The folder was cleared away while it was being filled; extract the frames again.")

    def remove(self) -> None:
        """Show the folder, or what is left of it, from now on."""
        self.storage.delete(_FOLDER / (self.folder + _SUFFIX))

    @property
    def _content(self) -> bytes:
        return json.dumps({"id": self._id}).encode()


def is_unfinished(storage: Storage, folder: str) -> bool:
    """Whether a folder is being filled or emptied."""
    return storage.stat(_FOLDER / (folder + _SUFFIX)) is not None


def marks(storage: Storage) -> Iterator[tuple[str, StoredObject]]:
    """The folders that are marked, with their marks."""
    for stored in storage.list(_FOLDER):
        with suppress(InvalidField):
            if stored.key.name.endswith(_SUFFIX) and stored.key == _FOLDER / stored.key.name:
                yield stored.key.name.removesuffix(_SUFFIX), stored

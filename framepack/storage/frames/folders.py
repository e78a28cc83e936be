"""Frame folders in the store: listed, read and deleted whole, never seen half."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from framepack.api.names import is_name
from framepack.errors import NotFound
from framepack.files.parallel import in_parallel
from framepack.storage.frames.marks import Mark, is_unfinished, marks
from framepack.storage.frames.record import FolderRecord, audio_key, folder_records
from framepack.storage.outputs import ResultFolder

if TYPE_CHECKING:
    from framepack.storage.base import Storage, StoredObject
    from framepack.storage.keys import Key

MEDIA_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
}
"""The images that are frames, by extension, and their media types."""

_PAGE: Final = 1000
_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class FrameFolders:
    """The frame folders of a store: extracted ones, and those that somebody put there by hand.

    Folders and frames whose names a client could not write (see `framepack.api.names`) are passed over, and so are
    folders that are being filled or emptied.
    """

    storage: Storage

    def names(self) -> list[str]:
        """The names of all folders, sorted."""
        found = {*self.storage.folders(ResultFolder.EXTRACTED_FRAMES.key), *folder_records(self.storage).names()}
        return sorted(filter(is_name, found - {folder for folder, _ in marks(self.storage)}))

    def frames(self, folder: str) -> list[StoredObject]:
        """The frames of a folder in natural order: ``frame2.png`` before ``frame10.png``.

        Raises:
            NotFound: There is no such folder.
        """
        self._check_whole(folder)
        parent = folder_key(folder)
        found = [
            stored
            for stored in self.storage.list(parent)
            if len(stored.key.segments) == len(parent.segments) + 1 and is_frame(stored.key.name)
        ]
        self._check_whole(folder)
        if not found:
            self._check_there(folder)
        return sorted(found, key=lambda stored: natural(stored.key.name))

    def frame(self, folder: str, frame: str) -> StoredObject:
        """One frame.

        Raises:
            NotFound: There is no such folder, or no such frame in it.
        """
        self._check_whole(folder)
        found = self.storage.stat(folder_key(folder) / frame) if is_frame(frame) else None
        if found is None:
            self._check_there(folder)
            raise no_such_frame(folder, frame)
        return found

    def record(self, folder: str) -> FolderRecord | None:
        """What is remembered of the folder's extraction; None if it was made by hand."""
        try:
            return folder_records(self.storage).read(folder)
        except NotFound:
            return None

    def delete(self, folder: str) -> None:
        """Remove a folder and everything that belongs to it; whenever that is killed, the folder is gone.

        Raises:
            NotFound: There is no such folder.
        """
        self._check_whole(folder)
        if not any(True for _ in islice(self.storage.list(folder_key(folder)), 1)):
            self._check_there(folder)
        mark = Mark(self.storage, folder)
        mark.set()
        empty(self.storage, folder, mark)
        mark.remove()

    def delete_frame(self, folder: str, frame: str) -> None:
        """Remove one frame; the others keep their names.

        Raises:
            NotFound: There is no such folder, or no such frame in it.
        """
        if not self.storage.delete(self.frame(folder, frame).key):
            raise no_such_frame(folder, frame)

    def _check_whole(self, folder: str) -> None:
        if not is_name(folder) or is_unfinished(self.storage, folder):
            raise _no_such_folder(folder)

    def _check_there(self, folder: str) -> None:
        """Return if a folder in which nothing was found exists."""
        if self.record(folder) is None and folder not in self.storage.folders(ResultFolder.EXTRACTED_FRAMES.key):
            raise _no_such_folder(folder)


def folder_key(folder: str) -> Key:
    """Where the frames of a folder lie."""
    return ResultFolder.EXTRACTED_FRAMES.key / folder


def sheet_key(folder: str) -> Key:
    """Where the contact sheet of a folder lies."""
    return ResultFolder.CONTACT_SHEETS.key / f"{folder}.jpg"


def is_frame(filename: str) -> bool:
    """Whether a file is a frame: an image by its extension, of a name that a client can write."""
    return f".{filename.rpartition('.')[2].lower()}" in MEDIA_TYPES and is_name(filename)


def natural(filename: str) -> tuple[list[str | int], str]:
    """A key that sorts files as people do: numbers by their value, ``frame`` before ``frame2``."""
    parts: list[str | int] = list(_DIGITS.split(PurePosixPath(filename).stem.lower()))
    parts[1::2] = map(int, parts[1::2])
    return parts, filename


def no_such_frame(folder: str, frame: str) -> NotFound:
    """The error for a frame that is not there."""
    return NotFound(f"Frame '{frame}' not found in folder '{folder}'")


def sweep(storage: Storage, older_than_seconds: float) -> tuple[int, int]:
    """Remove what killed extractions and deletions have left behind.

    Args:
        storage: The store.
        older_than_seconds: Marks that were set or refreshed later than this long ago are left alone; a living
            extraction refreshes its own every half minute.

    Returns:
        Number and bytes of the files removed.
    """
    latest = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
    files = size_bytes = 0
    for folder, stored in list(marks(storage)):
        if stored.modified <= latest:
            mark = Mark(storage, folder)
            mark.set()  # an extraction that comes back to life finds that this is no longer its folder
            removed = empty(storage, folder, mark)
            mark.remove()
            files, size_bytes = files + removed[0], size_bytes + removed[1]
    return files, size_bytes


def empty(storage: Storage, folder: str, mark: Mark) -> tuple[int, int]:
    """Remove everything that belongs to a marked folder; return number and bytes of the files that were there."""
    files = size_bytes = 0
    single = [found for key in (sheet_key(folder), audio_key(folder)) if (found := storage.stat(key)) is not None]
    page = [*single, *islice(storage.list(folder_key(folder)), _PAGE)]
    while page:
        mark.refresh()
        gone = [stored for stored, deleted in zip(page, _deleted(storage, page), strict=True) if deleted]
        files, size_bytes = files + len(gone), size_bytes + sum(stored.size_bytes for stored in gone)
        page = list(islice(storage.list(folder_key(folder)), _PAGE)) if gone else []
    folder_records(storage).delete(folder)
    return files, size_bytes


def _deleted(storage: Storage, page: Iterable[StoredObject]) -> Iterable[bool]:
    return in_parallel(lambda stored: storage.delete(stored.key), page)


def _no_such_folder(folder: str) -> NotFound:
    return NotFound(f"Folder '{folder}' not found")

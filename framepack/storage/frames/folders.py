"""Frame folders in the store: listing, reading and deleting them. A folder is visible only while it is complete."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from framepack.api.names import is_name
from framepack.errors import InvalidField, NotFound
from framepack.files.parallel import in_parallel
from framepack.files.removed import RemovedFiles
from framepack.storage.frames.record import FolderRecord, audio_key, folder_records
from framepack.storage.frames.unfinished import UnfinishedMarker, is_unfinished, unfinished_folders
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
"""The image formats that frames may have, by extension, with their media types."""

_OTHER_IMAGES: Final = frozenset(
    {
        ".tif",
        ".tiff",
        ".gif",
        ".tga",
        ".exr",
        ".dpx",
        ".avif",
        ".heic",
        ".heif",
        ".jp2",
        ".jxl",
        ".ppm",
        ".psd",
        ".hdr",
    }
)
_PAGE: Final = 1000
_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class FrameFolders:
    """The frame folders of a store: extracted ones, and folders that somebody put there by hand.

    Hidden are folders that are being filled or deleted, and folders whose names a client could not send (see
    `framepack.api.names`).
    """

    storage: Storage

    def names(self) -> list[str]:
        """The names of all folders, sorted."""
        found = {*self.storage.folders(ResultFolder.EXTRACTED_FRAMES.key), *folder_records(self.storage).names()}
        return sorted(filter(is_name, found - {folder for folder, _ in unfinished_folders(self.storage)}))

    def frames(self, folder: str) -> list[StoredObject]:
        """The frames of a folder in natural order: ``frame2.png`` before ``frame10.png``.

        Raises:
            NotFound: There is no such folder.
        """
        self._check_complete(folder)
        parent = folder_key(folder)
        found = [
            stored
            for stored in self.storage.list(parent)
            if len(stored.key.segments) == len(parent.segments) + 1 and is_frame(stored.key.name)
        ]
        self._check_complete(folder)
        if not found:
            self._check_exists(folder)
        return sorted(found, key=lambda stored: natural(stored.key.name))

    def frame(self, folder: str, frame: str) -> StoredObject:
        """One frame.

        Raises:
            NotFound: There is no such folder, or no such frame in it.
        """
        self._check_complete(folder)
        found = self.storage.stat(folder_key(folder) / frame) if is_frame(frame) else None
        if found is None:
            self._check_exists(folder)
            raise no_such_frame(folder, frame)
        return found

    def record(self, folder: str) -> FolderRecord | None:
        """The record of the folder's extraction; None if the folder was made by hand."""
        try:
            return folder_records(self.storage).read(folder)
        except NotFound:
            return None

    def delete(self, folder: str) -> None:
        """Remove a folder and everything that belongs to it. If it is killed halfway, the folder stays hidden.

        Raises:
            NotFound: There is no such folder.
        """
        self._check_complete(folder)
        if not any(True for _ in islice(self.storage.list(folder_key(folder)), 1)):
            self._check_exists(folder)
        marker = UnfinishedMarker(self.storage, folder)
        marker.write()
        remove_contents(self.storage, folder, marker)
        marker.remove()

    def delete_frame(self, folder: str, frame: str) -> None:
        """Remove one frame; the others keep their names.

        Raises:
            NotFound: There is no such folder, or no such frame in it.
        """
        if not self.storage.delete(self.frame(folder, frame).key):
            raise no_such_frame(folder, frame)

    def check(self, folder: str) -> None:
        """Return if there is such a folder, which may be empty.

        Raises:
            NotFound: There is not.
        """
        self._check_complete(folder)
        self._check_exists(folder)

    def put_frame(self, folder: str, frame: str, data: bytes) -> bool:
        """Replace a frame, or add one to a folder that exists.

        Args:
            folder: Its name.
            frame: Name of the frame, with the extension of an image.
            data: The image file.

        Returns:
            Whether the frame was replaced.

        Raises:
            NotFound: There is no such folder, or it is deleted meanwhile.
            InvalidField: There is a folder of the frame's name in it.
        """
        self.check(folder)
        key = folder_key(folder) / frame
        is_replaced = self.storage.stat(key) is not None
        if not is_replaced and next(self.storage.list(key), None) is not None:
            raise InvalidField(f"frame must be the name of a frame, and '{frame}' is a folder.")
        self.storage.put_bytes(key, data, content_type=MEDIA_TYPES[PurePosixPath(frame).suffix.lower()])
        if is_unfinished(self.storage, folder):
            self.storage.delete(key)
            raise _no_such_folder(folder)
        return is_replaced

    def _check_complete(self, folder: str) -> None:
        if not is_name(folder) or is_unfinished(self.storage, folder):
            raise _no_such_folder(folder)

    def _check_exists(self, folder: str) -> None:
        """Return if a folder exists in which no frame was found."""
        if self.record(folder) is None and folder not in self.storage.folders(ResultFolder.EXTRACTED_FRAMES.key):
            raise _no_such_folder(folder)


def folder_key(folder: str) -> Key:
    """The key below which the frames of a folder are stored."""
    return ResultFolder.EXTRACTED_FRAMES.key / folder


def sheet_key(folder: str) -> Key:
    """The key of a folder's contact sheet."""
    return ResultFolder.CONTACT_SHEETS.key / f"{folder}.jpg"


def is_frame(filename: str) -> bool:
    """Whether a file is a frame: it has the extension of an image, in whatever language its name is."""
    return f".{filename.rpartition('.')[2].lower()}" in MEDIA_TYPES


def natural(filename: str) -> tuple[list[str | int], str]:
    """A sort key for natural order: numbers sort by their value, and ``frame`` before ``frame2``."""
    parts: list[str | int] = list(_DIGITS.split(PurePosixPath(filename).stem.lower()))
    parts[1::2] = map(int, parts[1::2])
    return parts, filename


def left_out_images(storage: Storage, folder: str) -> str | None:
    """A sentence about the images of a folder that are in formats that frames cannot have; None without any."""
    parent = folder_key(folder)
    endings = Counter(f".{stored.key.name.rpartition('.')[2].lower()}" for stored in storage.list(parent))
    found = sorted(endings.keys() & _OTHER_IMAGES)
    if not found:
        return None
    count = sum(endings[ending] for ending in found)
    return (
        f"{count} file{'s' if count > 1 else ''} of the type {', '.join(found)} cannot be used: frames are "
        "PNG, JPEG, BMP or WebP images."
    )


def no_such_frame(folder: str, frame: str) -> NotFound:
    """The error for a frame that does not exist."""
    return NotFound(f"Frame '{frame}' not found in folder '{folder}'")


def remove_unfinished_folders(storage: Storage, older_than_seconds: float) -> RemovedFiles:
    """Remove what killed extractions and deletions have left behind.

    Args:
        storage: The store.
        older_than_seconds: Folders whose marker is younger are left alone; a running extraction refreshes its marker
            every half minute.
    """
    latest = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
    removed = RemovedFiles()
    for folder, stored in list(unfinished_folders(storage)):
        if stored.modified <= latest:
            marker = UnfinishedMarker(storage, folder)
            marker.write()  # an extraction that resumes finds that the folder is no longer its own
            removed += remove_contents(storage, folder, marker)
            marker.remove()
    return removed


def remove_contents(storage: Storage, folder: str, marker: UnfinishedMarker) -> RemovedFiles:
    """Remove everything that belongs to a folder whose marker is written; return what was there."""
    removed = RemovedFiles()
    single = [found for key in (sheet_key(folder), audio_key(folder)) if (found := storage.stat(key)) is not None]
    page = [*single, *islice(storage.list(folder_key(folder)), _PAGE)]
    while page:
        marker.refresh()
        gone = [stored for stored, deleted in zip(page, _deleted(storage, page), strict=True) if deleted]
        removed += RemovedFiles(len(gone), sum(stored.size_bytes for stored in gone))
        page = list(islice(storage.list(folder_key(folder)), _PAGE)) if gone else []
    folder_records(storage).delete(folder)
    return removed


def _deleted(storage: Storage, page: Iterable[StoredObject]) -> Iterable[bool]:
    return in_parallel(lambda stored: storage.delete(stored.key), page)


def _no_such_folder(folder: str) -> NotFound:
    return NotFound(f"Folder '{folder}' not found")

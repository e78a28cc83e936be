"""Fill a frame folder so that it is seen whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError
from framepack.storage.frames.folders import MEDIA_TYPES, empty, folder_key, sheet_key
from framepack.storage.frames.marks import Mark
from framepack.storage.frames.record import FolderRecord, audio_key, folder_records, frame_name

if TYPE_CHECKING:
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.storage")

_AUDIO_TYPE: Final = "audio/x-matroska"


class FolderWriter:
    """A folder under construction; its frames may be put from many threads."""

    def __init__(self, storage: Storage, folder: str, mark: Mark) -> None:
        self._storage, self._folder, self._mark = storage, folder, mark
        self.is_finished = False

    def put_frame(self, position: int, png: bytes) -> None:
        """Store the PNG file of the frame at a position, from 0."""
        key = folder_key(self._folder) / frame_name(position)
        self._storage.put_bytes(key, png, content_type=MEDIA_TYPES[".png"])

    def put_audio(self, path: Path) -> None:
        """Store the audio that belongs to the frames, a Matroska file."""
        self._storage.put_file(audio_key(self._folder), path, content_type=_AUDIO_TYPE)

    def put_sheet(self, jpeg: bytes) -> None:
        """Store the contact sheet, a JPEG file."""
        self._storage.put_bytes(sheet_key(self._folder), jpeg, content_type=MEDIA_TYPES[".jpg"])

    def keep_alive(self) -> None:
        """Show that the work goes on; to be called every few seconds.

        Raises:
            Conflict: The folder was swept up, because this was not called for too long.
        """
        if self._mark.is_due:
            self._mark.check()
            self._mark.set()

    def finish(self, record: FolderRecord) -> None:
        """Show the folder, now that all its frames are there.

        Raises:
            Conflict: As `keep_alive`.
        """
        self._mark.check()
        folder_records(self._storage).save(self._folder, record.model_dump(mode="json"))
        self._mark.remove()
        self.is_finished = True


@contextmanager
def new_folder(storage: Storage, folder: str) -> Iterator[FolderWriter]:
    """Fill a folder of a new name; unless it is finished in the ``with`` block, nothing of it remains."""
    mark = Mark(storage, folder)
    writer = FolderWriter(storage, folder, mark)
    try:
        mark.set()
        yield writer
    finally:
        if not writer.is_finished:
            _discard(storage, folder, mark)


def _discard(storage: Storage, folder: str, mark: Mark) -> None:
    try:
        mark.set()  # also where a sweep has begun: both remove the same things
        empty(storage, folder, mark)
        mark.remove()
    except FramepackError:
        log.warning("an unfinished folder could not be removed; its mark hides it until it is swept up")

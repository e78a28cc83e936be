"""Filling a new frame folder: it becomes visible when it is complete, or leaves nothing behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError
from framepack.storage.frames.folders import MEDIA_TYPES, folder_key, remove_contents, sheet_key
from framepack.storage.frames.record import FolderRecord, audio_key, folder_records, frame_name
from framepack.storage.frames.unfinished import UnfinishedMarker

if TYPE_CHECKING:
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.storage")

_AUDIO_TYPE: Final = "audio/x-matroska"


class FolderWriter:
    """A folder that is being filled; frames may be put from many threads."""

    def __init__(self, storage: Storage, folder: str, marker: UnfinishedMarker) -> None:
        self._storage, self._folder, self._marker = storage, folder, marker
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
        """Refresh the marker, so that the folder is not taken for abandoned; call it every few seconds.

        Raises:
            Conflict: The folder was removed, because this was not called for too long.
        """
        if self._marker.needs_refresh:
            self._marker.check()
            self._marker.write()

    def finish(self, record: FolderRecord) -> None:
        """Make the folder visible, now that all its frames are stored.

        Raises:
            Conflict: As for `keep_alive`.
        """
        self._marker.check()
        folder_records(self._storage).save(self._folder, record.model_dump(mode="json", by_alias=True))
        self._marker.remove()
        self.is_finished = True


@contextmanager
def new_folder(storage: Storage, folder: str) -> Iterator[FolderWriter]:
    """Fill a new folder in a ``with`` block; unless `FolderWriter.finish` was called in it, nothing remains."""
    marker = UnfinishedMarker(storage, folder)
    writer = FolderWriter(storage, folder, marker)
    try:
        marker.write()
        yield writer
    finally:
        if not writer.is_finished:
            _discard(storage, folder, marker)


def _discard(storage: Storage, folder: str, marker: UnfinishedMarker) -> None:
    try:
        marker.write()  # harmless if a clean-up has begun as well: both remove the same objects
        remove_contents(storage, folder, marker)
        marker.remove()
    except FramepackError:
        log.warning("an unfinished folder could not be removed; it stays hidden until clear-temp removes it")

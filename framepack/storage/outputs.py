"""Results of operations: their names, their folders, and what answers say about them."""

from __future__ import annotations

import mimetypes
import re
import secrets
import string
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.errors import Cancelled, FramepackError
from framepack.filenames import clean_stem, safe_name
from framepack.storage.base import DEFAULT_CONTENT_TYPE, storage_errors
from framepack.storage.keys import Key
from framepack.storage.reservations import reservation

if TYPE_CHECKING:
    from framepack.storage.base import Storage

PUBLIC_ROOT = "/outputs/"
_EXTENSION = re.compile(r"\.[a-z0-9]{1,8}")


class ResultFolder(StrEnum):
    """The documented folders for results."""

    TEMP_PROCESSING = "postprocessed_output/temp_processing"
    SAVED_VIDEOS = "postprocessed_output/saved_videos"
    EXTRACTED_FRAMES = "postprocessed_output/frames/extracted_frames"
    REASSEMBLED_VIDEOS = "postprocessed_output/frames/reassembled_videos"
    CONTACT_SHEETS = "postprocessed_output/frames/contact_sheets"

    @property
    def key(self) -> Key:
        """The folder as a key."""
        return Key(self.value)


@dataclass(frozen=True)
class PublishedOutput:
    """A result in the store.

    Attributes:
        key: its key.
        filename: the last segment of the key.
        size_bytes: its length.
        sha256: digest of its bytes, lower-case hexadecimal.
        url: where it can be downloaded; None if the store has no URLs.
    """

    key: Key
    filename: str
    size_bytes: int
    sha256: str
    url: str | None
    _inline: bytes | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The documented ``output_path``, the same for every kind of store: ``/outputs/`` and the key."""
        return f"{PUBLIC_ROOT}{self.key}"

    @cached_property
    def base64(self) -> str | None:
        """The bytes as base64; None if the result is over the limit for inlining."""
        return None if self._inline is None else b64encode(self._inline).decode()


class Outputs:
    """Names results and stores them.

    Args:
        storage: where they are stored.
        inline_limit_bytes: largest result that is also returned as base64; 0 disables this.
        clock: returns the present time, UTC.
    """

    def __init__(
        self,
        storage: Storage,
        inline_limit_bytes: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.storage = storage
        self._inline_limit_bytes = inline_limit_bytes
        self._clock = clock

    def publish(self, path: Path, *, folder: ResultFolder, stem: str, suffix: str) -> PublishedOutput:
        """Store a copy of a finished file under a new name.

        Args:
            path: the file; its extension is kept.
            folder: the documented folder it belongs in.
            stem: name of the source without its extension, as the client sent it.
            suffix: what was done to it, for example ``upscaled_RealESRGAN_x4plus``.

        Raises:
            StorageFailed: the store failed.
            DiskFull: the store is a folder, and its disk is full.
        """
        return self._store(path, folder, self.filename(stem, suffix, path.suffix))

    def save(self, path: Path, filename: str) -> PublishedOutput:
        """Store a file in the folder of saved videos, with a short id in its name if the name is taken.

        Nothing is ever overwritten, even if several workers save under one name at the same moment.

        Args:
            path: the file, which is copied.
            filename: a safe name with its extension.

        Raises:
            StorageFailed, DiskFull: as for `publish`.
        """
        folder = ResultFolder.SAVED_VIDEOS
        stem, dot, extension = filename.rpartition(".")
        with reservation(self.storage, filename) as is_ours:
            name = filename
            is_free = is_ours and self.storage.stat(folder.key / name) is None
            while not is_free:
                name = f"{stem}-{_short_id()}{dot}{extension}"
                is_free = self.storage.stat(folder.key / name) is None
            return self._store(path, folder, name)

    def _store(self, path: Path, folder: ResultFolder, filename: str) -> PublishedOutput:
        content_type = mimetypes.guess_type(filename)[0] or DEFAULT_CONTENT_TYPE
        key = folder.key / filename
        inline = self._inlined(path)
        try:
            if inline is None:
                stored = self.storage.put_file(key, path, content_type=content_type)
            else:
                stored = self.storage.put_bytes(key, inline, content_type=content_type)
        except Cancelled:  # nobody will ask for what may be there already
            with suppress(FramepackError):
                self.storage.delete(key)
            raise
        url = self.storage.url(key, filename=filename)
        return PublishedOutput(key, filename, stored.size_bytes, stored.sha256 or "", url, inline)

    def filename(self, stem: str, suffix: str, extension: str) -> str:
        """Make a new name, ``{stem}_{suffix}_{yymmdd_HHMMSS}_{short id}{extension}``, at most 235 bytes long."""
        extension = extension.lower() if _EXTENSION.fullmatch(extension.lower()) else ""
        name = f"{clean_stem(stem)}_{safe_name(suffix, 'processed')}"
        return f"{name}_{self.stamp()}{extension}"

    def stamp(self) -> str:
        """Make the unique part of a name, ``{yymmdd_HHMMSS}_{short id}``.

        The short id (a digit, then 5 digits or letters) distinguishes names that are made in the same second.
        """
        return f"{self._clock():%y%m%d_%H%M%S}_{_short_id()}"

    def _inlined(self, path: Path) -> bytes | None:
        """Read the file if it may be inlined, so that the answer contains exactly the bytes that are stored."""
        with storage_errors():
            size_bytes = path.stat().st_size
            return path.read_bytes() if 0 < size_bytes <= self._inline_limit_bytes else None


def _short_id() -> str:
    letters = string.digits + string.ascii_lowercase
    return secrets.choice(string.digits) + "".join(secrets.choice(letters) for _ in range(5))

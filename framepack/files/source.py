"""The source file of a job: downloaded from a URL, copied from the store, or decoded from the request."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Self

from framepack.errors import DiskFull, InvalidSource, TooLarge, is_disk_full
from framepack.filenames import UNNAMED, clean_filename
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.files.workspace import Workspace

_DATA_URI: Final = re.compile(r"\s*data:[^,;\s]*(?:;[^,;\s]*)*;base64,", re.IGNORECASE)
_MAX_PREFIX: Final = 256
_WHITESPACE: Final = " \t\r\n"
_DROP_WHITESPACE: Final = dict.fromkeys(map(ord, _WHITESPACE))
_CHUNK: Final = 2**20  # characters decoded at a time


@dataclass(frozen=True, slots=True)
class Source:
    """The source file of a job.

    Attributes:
        path: The file, in the job's workspace.
        filename: Its original name, sanitized: 1 to 100 letters, digits and a few other characters.
        original: The file as it arrived, if ``path`` was made of it.
    """

    path: Path
    filename: str = UNNAMED
    original: Path | None = None

    @property
    def name(self) -> str:
        """The file name without its extension."""
        return PurePosixPath(self.filename).stem

    @classmethod
    def from_url(cls, url: str, workspace: Workspace, download: Callable[[str, Path], str]) -> Self:
        """Download the video at ``url`` into the workspace.

        Args:
            url: The URL.
            workspace: The workspace of the job.
            download: ``(url, target)``: downloads the file within its limits and returns the untrusted file name
                that the server or the URL gives it; its errors pass through.
        """
        target = workspace.path("source")
        return cls(target, clean_filename(download(url, target)))

    @classmethod
    def from_store(cls, name: str, workspace: Workspace, copy: Callable[[Path], None]) -> Self:
        """Copy a file of the deployment's store into the workspace.

        Args:
            name: Its name there.
            workspace: The workspace of the job.
            copy: Writes it to the given path; its errors pass through.
        """
        target = workspace.path("source")
        copy(target)
        return cls(target, clean_filename(name))

    @classmethod
    def from_base64(cls, text: str, workspace: Workspace, max_bytes: int, kind: str = "video") -> Self:
        """Decode a video, or another kind of file, that was sent as base64 in a request.

        The prefix of a data URI, white space and missing padding at the end are allowed; anything else is not.

        Args:
            text: The file in base64.
            workspace: The workspace of the job.
            max_bytes: Maximum size of the file, checked before anything is written.
            kind: The word for it in messages; with ``_base64`` appended, the name of its field.

        Raises:
            InvalidSource: The text is not base64.
            TooLarge: The file has more than ``max_bytes``.
            DiskFull: The disk is full.
        """
        prefix = _DATA_URI.match(text, 0, _MAX_PREFIX)
        begin = prefix.end() if prefix else 0
        size_bytes = _decoded_size(text, begin)
        if size_bytes > max_bytes:
            raise TooLarge(f"The {kind} has {size_bytes / MB:.1f} MB; at most {max_bytes / MB:g} MB are allowed.")
        target = workspace.path("source")
        try:
            with target.open("xb") as file:
                for data in _decoded(text, begin):
                    file.write(data)
                empty = not file.tell()
        except ValueError as error:  # binascii.Error is one
            raise InvalidSource(f"{kind}_base64 is not valid base64.") from error
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"The worker's disk has no room for the {kind}.") from error
            raise
        if empty:
            raise InvalidSource(f"{kind}_base64 is empty.")
        return cls(target)


def _decoded_size(text: str, begin: int) -> int:
    digits = len(text) - begin - sum(text.count(space, begin) for space in _WHITESPACE)
    return digits * 3 // 4 - text[-_MAX_PREFIX:].count("=")


def _decoded(text: str, begin: int) -> Iterator[bytes]:
    """Decode base64 in chunks.

    Raises:
        ValueError: The text is not base64.
    """
    rest = ""
    padded = False
    for start in range(begin, len(text), _CHUNK):
        chunk = rest + text[start : start + _CHUNK].translate(_DROP_WHITESPACE)
        if padded and chunk:
            raise ValueError("something follows the padding")
        whole = len(chunk) - len(chunk) % 4
        padded = "=" in chunk[whole - 4 : whole]
        rest = chunk[whole:]
        yield binascii.a2b_base64(chunk[:whole], strict_mode=True)
    if rest:
        yield binascii.a2b_base64(rest + "=" * (4 - len(rest)), strict_mode=True)

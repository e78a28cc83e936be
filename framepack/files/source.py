"""Sources: the video of a job becomes a file, downloaded from an address or decoded from base64 in the request."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Self

from framepack.errors import DiskFull, InvalidSource, TooLarge, is_disk_full
from framepack.filenames import UNNAMED, clean_filename

if TYPE_CHECKING:
    from framepack.files.workspace import Workspace

_DATA_URI: Final = re.compile(r"\s*data:[^,;\s]*(?:;[^,;\s]*)*;base64,", re.IGNORECASE)
_MAX_PREFIX: Final = 256
_WHITESPACE: Final = " \t\r\n"
_DROP_WHITESPACE: Final = dict.fromkeys(map(ord, _WHITESPACE))
_CHUNK: Final = 2**20  # characters decoded at a time


@dataclass(frozen=True, slots=True)
class Source:
    """A video file that belongs to a job.

    Attributes:
        path: The file, in the job's workspace.
        filename: The sender's name of it, made harmless: letters, digits and a few signs, 1 to 100 characters.
    """

    path: Path
    filename: str = UNNAMED

    @property
    def name(self) -> str:
        """The file name without its extension."""
        return PurePosixPath(self.filename).stem

    @classmethod
    def from_url(cls, url: str, workspace: Workspace, download: Callable[[str, Path], str]) -> Self:
        """Fetch the video at ``url`` into the workspace.

        Args:
            url: The address.
            workspace: Where the file goes.
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
            workspace: Where the file goes.
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
            workspace: Where the file goes.
            max_bytes: Largest size accepted; checked before anything is written.
            kind: Its name in messages; followed by ``_base64``, the name of its field.

        Raises:
            InvalidSource: The text is not base64.
            TooLarge: The file has more than ``max_bytes``.
            DiskFull: There is no room for it.
        """
        prefix = _DATA_URI.match(text, 0, _MAX_PREFIX)
        begin = prefix.end() if prefix else 0
        size_bytes = _decoded_size(text, begin)
        if size_bytes > max_bytes:
            raise TooLarge(f"The {kind} has {size_bytes / 1e6:.1f} MB; at most {max_bytes / 1e6:g} MB are allowed.")
        target = workspace.path("source")
        try:
            with target.open("xb") as file:
                for chunk in _decoded(text, begin):
                    file.write(chunk)
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
    """Decode base64 piece by piece.

    Raises:
        ValueError: it is not base64.
    """
    rest = ""
    padded = False
    for start in range(begin, len(text), _CHUNK):
        piece = rest + text[start : start + _CHUNK].translate(_DROP_WHITESPACE)
        if padded and piece:
            raise ValueError("something follows the padding")
        whole = len(piece) - len(piece) % 4
        padded = "=" in piece[whole - 4 : whole]
        rest = piece[whole:]
        yield binascii.a2b_base64(piece[:whole], strict_mode=True)
    if rest:
        yield binascii.a2b_base64(rest + "=" * (4 - len(rest)), strict_mode=True)

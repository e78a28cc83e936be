"""How a job's video becomes a file: fetched from an address, or unpacked from the request."""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Protocol, Self

from framepack.errors import DiskFull, InvalidSource, TooLarge, is_disk_full

if TYPE_CHECKING:
    from framepack.files.workspace import Workspace

UNNAMED: Final = "video"

_MAX_NAME_LENGTH: Final = 100
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9 ._+()-]+")
_NOT_IN_SUFFIXES: Final = re.compile(r"[^A-Za-z0-9]+")
_MAX_SUFFIX_LENGTH: Final = 10
_DATA_URI: Final = re.compile(r"\s*data:[^,;\s]*(?:;[^,;\s]*)*;base64,", re.IGNORECASE)
_MAX_PREFIX: Final = 256
_WHITESPACE: Final = " \t\r\n"
_DROP_WHITESPACE: Final = dict.fromkeys(map(ord, _WHITESPACE))
_CHUNK: Final = 2**20  # characters decoded at a time


class Downloaded(Protocol):
    """What a download tells of a file it fetched."""

    @property
    def filename(self) -> str:
        """Name that the server or the address gives the file; untrusted, may be empty."""


@dataclass(frozen=True, slots=True)
class Source:
    """A video file that belongs to a job.

    Attributes:
        path: The file, in the job's workspace.
        filename: What its sender calls it, made harmless: letters, digits and a few signs, 1 to 100 characters.
    """

    path: Path
    filename: str = UNNAMED

    @property
    def name(self) -> str:
        """The file name without its extension."""
        return PurePosixPath(self.filename).stem

    @classmethod
    def from_url(cls, url: str, workspace: Workspace, download: Callable[[str, Path], Downloaded]) -> Self:
        """Fetch the video at ``url`` into the workspace.

        Args:
            url: The address.
            workspace: Where the file goes.
            download: ``(url, target)``: fetches, checks and limits; its errors pass through.
        """
        target = workspace.path("source")
        return cls(target, clean_filename(download(url, target).filename))

    @classmethod
    def from_store(cls, name: str, workspace: Workspace, copy: Callable[[Path], None]) -> Self:
        """Bring a file of our own store into the workspace.

        Args:
            name: What it is called there.
            workspace: Where the file goes.
            copy: Writes it to the given path; its errors pass through.
        """
        target = workspace.path("source")
        copy(target)
        return cls(target, clean_filename(name))

    @classmethod
    def from_base64(cls, text: str, workspace: Workspace, max_bytes: int, kind: str = "video") -> Self:
        """Unpack a video, or a file of another kind, that came in a request as base64.

        A data URI's prefix, white space and missing padding at the end are fine; anything else is not.

        Args:
            text: The file in base64.
            workspace: Where the file goes.
            max_bytes: Largest size accepted; checked before anything is written.
            kind: What messages call it; with ``_base64``, the field it came in.

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


def clean_filename(name: str) -> str:
    """Make a harmless file name of what a stranger calls a file."""
    decomposed = unicodedata.normalize("NFKD", name).replace("\\", "/").rpartition("/")[2]
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).strip(" .")
    stem, dot, suffix = plain.rpartition(".") if "." in plain else (plain, "", "")
    suffix = dot + _NOT_IN_SUFFIXES.sub("", suffix)[:_MAX_SUFFIX_LENGTH]
    stem = _NOT_IN_NAMES.sub("_", stem)[: _MAX_NAME_LENGTH - len(suffix)].strip(" ._")
    return (stem or UNNAMED) + suffix.rstrip(".")


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

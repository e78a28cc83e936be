"""What a file that is no video is instead, by its first bytes, for the sentence that refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from framepack.media.boxes import file_boxes

_BEGINNINGS: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x89PNG\r\n\x1a\n", "a still image (PNG)"),
    (b"\xff\xd8\xff", "a still image (JPEG)"),
    (b"II*\0", "a still image (TIFF)"),
    (b"MM\0*", "a still image (TIFF)"),
    (b"8BPS", "a Photoshop image"),
    (b"v/1\x01", "a still image (OpenEXR)"),
    (b"ID3", "audio (MP3)"),
    (b"\xff\xfb", "audio (MP3)"),
    (b"\xff\xf1", "audio (AAC)"),
    (b"fLaC", "audio (FLAC)"),
    (b"#!AMR", "audio (AMR)"),
    (b"FORM", "audio (AIFF)"),
    (b"YUV4MPEG2", "raw Y4M"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "an MXF file"),
    (b"nut/multimedia", "a NUT file"),
    (b".RMF", "a RealMedia file"),
    (b"DKIF", "an IVF file"),
    (b"#EXTM3U", "a playlist"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"SQLite format 3", "a database"),
)
_RIFF: Final = {b"WAVE": "audio (WAV)", b"WEBP": "a still image (WebP)"}
_STILL_BRANDS: Final = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}
_HEAD_BYTES: Final = 512
_MARKUP: Final = (b"<!doctype html", b"<html")


def describe_kind(path: Path) -> str | None:
    """What a file is, with its article; None if its first bytes do not say it.

    Args:
        path: A file; None is also the answer if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    if not head:
        return "empty"
    found = next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), None)
    if found is None and head.startswith(b"RIFF"):
        found = _RIFF.get(head[8:12])
    if found is None and head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        found = f"a still image ({_STILL_BRANDS[head[8:12]]})"
    return found or _text(head)


def is_mp4_without_index(path: Path) -> bool:
    """Whether a file begins as an MP4 file, and has no index of frames; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            names = [box.name for box in file_boxes(file, path.stat().st_size)]
    except OSError:
        return False
    return names[:1] == [b"ftyp"] and b"moov" not in names


def _text(head: bytes) -> str | None:
    """What kind of text begins so; None if it is no text."""
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begin.startswith(_MARKUP):
        return "a web page (HTML)"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.end < len(head):  # otherwise only the last letter is cut
            return None
        text = head[: error.start].decode()
    is_text = all(char.isprintable() or char in "\t\r\n\f" for char in text.removeprefix("\ufeff"))
    return "text" if is_text else None

"""Metadata of a file: which of it outputs have, and the parts of a file that no output has."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

Metadata = tuple[tuple[str, str], ...]
"""Names and values, in FFmpeg's names. The values are the client's own and belong into no log and no callback."""

OWN_TAGS: Final = frozenset({"prompt", "workflow"})
"""Names that only ComfyUI gives to metadata: MP4 files need an option to hold them."""

LANGUAGE: Final = "language"
"""The name of the language of the audio."""

_TEXTS: Final = ("title", "comment", "prompt", "workflow")
_CARRIED: Final = (*_TEXTS, "date", "creation_time")
_OTHERS: Final = "metadata other than title, date and comment"
_MAX_CHARACTERS: Final = 4_000_000  # FFmpeg's demuxers read no longer ones, and no workflow comes near
_MAX_UNPACKED_BYTES: Final = 100_000_000
_TECHNICAL: Final = frozenset(
    {
        "encoder",
        "encoder_options",
        "encoded_by",
        "software",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "creation_time",
        "duration",
        "metadatacreator",
        "hasaudio",
        "hasvideo",
        "hasmetadata",
        "haskeyframes",
        "canseektoend",
        "isvbr",
        "devicepresentationtime",
        "deviceconformancetemplate",
        "wmfsdkversion",
        "wmfsdkneeded",
        "com.apple.quicktime.software",
        "com.android.version",
        LANGUAGE,
    }
)
"""Names of metadata about the file itself, in lower case."""


def read_metadata(container: InputContainer, audio: AudioStream | None) -> Metadata:
    """The metadata of a file that outputs have, too: title, comment, date, and the language of the audio."""
    kept = carried({name.lower(): value for name, value in container.metadata.items()})
    if audio is not None and (language := audio.metadata.get(LANGUAGE, "und")) != "und":
        return (*kept, (LANGUAGE, language))
    return kept


def carried(found: Mapping[str, str]) -> Metadata:
    """Those of a file's metadata, in lower case, that outputs have, too."""
    kept = ((name, found[name]) for name in _CARRIED if 0 < len(found.get(name, "")) <= _MAX_CHARACTERS)
    return tuple((name, value) for name, value in kept if name != "creation_time" or _is_time(value))


def describe_others(found: Mapping[str, str]) -> Iterator[str]:
    """One sentence about those of an image's metadata, in lower case, that outputs do not have, or none."""
    if any(_is_left_out(name, value) for name, value in found.items()):
        yield f"Not carried over to outputs: {_OTHERS}."


def has_texts(metadata: Metadata) -> bool:
    """Whether somebody wrote a title, a comment or a workflow."""
    return any(name in _TEXTS for name, _ in metadata)


def describe_lost(metadata: Metadata, result: Metadata) -> Iterator[str]:
    """One sentence about the texts of a clip that a result does not have, or none."""
    lost = [name for name, value in metadata if name in _TEXTS and (name, value) not in result]
    if lost:
        yield f"Not carried over to outputs: {', '.join(lost)}."


def describe_left_out(container: InputContainer, video: VideoStream, audio: AudioStream | None) -> Iterator[str]:
    """One sentence about the parts of a file that outputs do not have, or none."""
    parts = list(_left_out(container, video, audio))
    if parts:
        yield f"Not carried over to outputs: {', '.join(parts)}."


def packed(metadata: Metadata) -> str:
    """Metadata as a short text: workflows shrink to about a tenth. ``unpacked`` is the inverse."""
    data = json.dumps(dict(metadata), ensure_ascii=False).encode(errors="replace")
    return base64.b64encode(zlib.compress(data)).decode() if metadata else ""


def unpacked(text: str) -> Metadata:
    """The metadata that ``packed`` made a text of; none if it is damaged."""
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text), _MAX_UNPACKED_BYTES)
        found = json.loads(data) if data else {}
    except (ValueError, zlib.error):
        return ()
    if not isinstance(found, dict):
        return ()
    known = {*_CARRIED, LANGUAGE}
    return tuple((name, value) for name, value in found.items() if name in known and isinstance(value, str))


def _left_out(container: InputContainer, video: VideoStream, audio: AudioStream | None) -> Iterator[str]:
    from av.stream import Disposition

    images = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    others = [stream for stream in container.streams if stream is not video and stream is not audio]
    covers = [stream for stream in others if stream.type == "video" and stream.disposition & images]
    chapters = container.chapters()
    # In MP4 files the names of chapters are a data track.
    names_of_chapters = bool(chapters) and "mov" in container.format.name
    yield from _counted(_count(others, "audio"), "other audio track")
    yield from _counted(_count(others, "video") - len(covers), "other video track")
    yield from _counted(_count(others, "subtitle"), "subtitle track")
    yield from _counted(_count(others, "data") - names_of_chapters, "data track")
    yield from _counted(_count(others, "attachment") + len(covers), "attachment")
    yield from _counted(len(chapters), "chapter")
    is_about_itself = container.format.name == "flv"  # the metadata of such files is about their streams
    if not is_about_itself and any(_is_left_out(name.lower(), value) for name, value in container.metadata.items()):
        yield _OTHERS


def _count(streams: list[Stream], kind: str) -> int:
    return sum(stream.type == kind for stream in streams)


def _counted(count: int, thing: str) -> Iterator[str]:
    if count > 0:
        yield f"{count} {thing}{'s' if count > 1 else ''}"


def _is_left_out(name: str, value: str) -> bool:
    if name in _CARRIED:
        return len(value) > _MAX_CHARACTERS
    return bool(value) and name not in _TECHNICAL and not name.startswith("_statistics")


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True

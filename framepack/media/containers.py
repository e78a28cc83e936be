"""Open media files: untrusted files of known containers for reading, and new files for writing."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from framepack.cancellation import current_check
from framepack.errors import InvalidMedia
from framepack.files.scratch import disk_errors
from framepack.media.kinds import describe_kind, is_mp4_without_index
from framepack.media.metadata import LANGUAGE, OWN_TAGS
from framepack.media.transport_stream import announced_streams, is_small_transport_stream
from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

    from framepack.media.clip import Format
    from framepack.media.metadata import Metadata

CONTAINERS: Final = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,flv,ogg,asf"
"""Demuxers of self-contained files; those of playlists and scripts (hls, dash, concat, sdp, ...) are excluded."""

MAX_PIXELS: Final = 2**26
"""Maximum number of pixels per frame that a decoder may allocate while a file is probed."""

ACCEPTED: Final = (
    "MP4, MOV, MKV, WebM, AVI, WMV, MPEG, TS, FLV, Ogg, GIF, animated WebP and animated PNG files are accepted."
)
"""The end of a sentence that refuses a file, after a colon."""

UNREADABLE: Final = f"The file is not a video that can be read: {ACCEPTED}"
"""The sentence about a file of which nothing is known."""

WITHOUT_INDEX: Final = (
    "The MP4 file has no index (moov), without which its frames cannot be found: its recording or its transfer was "
    "interrupted. Record or send it again, or repair it first."
)
"""The sentence about an MP4 file whose end is missing."""

_TRANSPORT_STREAM: Final = "mpegts"
_PATIENT: Final = {"scan_all_pmts": "1", "probesize": str(2**27), "analyzeduration": str(10 * 3600 * MICROSECONDS)}
"""Options to find streams that begin late; FFmpeg keeps what it reads meanwhile in memory."""

_OPTIONS: Final[dict[str, dict[str, str]]] = {
    "mp4": {"movflags": "+faststart"},  # index first: playback begins during the download
    "webm": {"cues_to_front": "1"},
    "gif": {"loop": "0"},  # forever
    "matroska": {},
    "mov": {},
}


def open_input(
    path: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    applies_edits: bool = True,
    ignores_edits: bool = False,
    without_video: bool = False,
) -> InputContainer:
    """Open a media file for reading.

    Args:
        path: A regular file.
        max_pixels: Maximum number of pixels per frame that a decoder may allocate.
        applies_edits: Whether frames outside of an MP4 file's edit list are marked. Otherwise only its beginning
            counts, as time 0.
        ignores_edits: Whether edit lists do not count at all, so that times are those of the tracks.
        without_video: Whether no more is asked of video than its packets. Then none of it is decoded to open an MP4
            file; its first frame takes longer than everything else. Elsewhere times of packets depend on it.

    Raises:
        InvalidMedia: The file is not a regular file, has another container, or is unreadable.
    """
    import av

    options = {
        "format_whitelist": CONTAINERS,
        "protocol_whitelist": "file",
        "enable_drefs": "0",
        "max_streams": "64",
        "max_pixels": str(max_pixels),
        "advanced_editlist": str(int(applies_edits)),
        "ignore_editlist": str(int(ignores_edits)),
    }
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidMedia(UNREADABLE)
        if without_video and _is_mp4(path):
            options["skip_frame"] = "all"
        name = _TRANSPORT_STREAM if is_small_transport_stream(path) else None
        container = av.open(f"file:{path}", "r", name, options=options, metadata_errors="replace")
        if _has_late_audio(container, path):
            container.close()
            container = av.open(f"file:{path}", "r", name, options={**options, **_PATIENT}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InvalidMedia(_why_unreadable(path)) from error
    return container


def _why_unreadable(path: Path) -> str:
    if kind := describe_kind(path):
        return f"The file is {kind}, not a video that can be read: {ACCEPTED}"
    return WITHOUT_INDEX if is_mp4_without_index(path) else UNREADABLE


def _is_mp4(path: Path) -> bool:
    """Whether a file begins as MP4 and newer MOV files do, whose packets have all their times in an index."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _has_late_audio(container: InputContainer, path: Path) -> bool:
    """Whether there is, or may be, audio that begins so late that nothing is known about it yet."""
    known = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if any(not stream.sample_rate for stream in known):
        return True
    if known or container.format.name != _TRANSPORT_STREAM:
        return False
    return bool(announced_streams(path) - {stream.id for stream in container.streams})


def read_packets(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """Yield the packets of some streams, or of all; at the end comes an empty packet to flush each decoder.

    Each packet calls the check of the thread, so that whatever reads a file can be stopped; see `stoppable`.

    Raises:
        InvalidMedia: The file cannot be read any further; there are no empty packets then.
    """
    import av

    try:
        for packet in container.demux(*streams):
            current_check()()
            yield packet
    except (av.FFmpegError, IndexError) as error:  # PyAV raises IndexError for streams that appear midway
        raise InvalidMedia(UNREADABLE) from error


@contextmanager
def open_output(
    path: Path, format_name: Format | Literal["matroska", "mov"], *, metadata: Metadata = (), **options: str
) -> Iterator[OutputContainer]:
    """Create the file ``path``, replaced if it exists and removed on any failure.

    Args:
        path: The file.
        format_name: Its container.
        metadata: Its metadata; a GIF has none.
        options: Further options of FFmpeg's muxer.

    Raises:
        DiskFull: The disk is full.
    """
    import av

    with disk_errors():
        options = {**_OPTIONS[format_name], **options}
        if format_name == "mp4" and any(name in OWN_TAGS for name, _ in metadata):
            options["movflags"] += "+use_metadata_tags"
        container = av.open(f"file:{path}", "w", format=format_name, container_options=options)
        try:
            container.metadata.update((name, value) for name, value in metadata if name != LANGUAGE)
            yield container
            container.close()
        except BaseException:
            path.unlink(missing_ok=True)  # before closing, which would take time to finish the file
            with suppress(av.FFmpegError):
                container.close()
            raise

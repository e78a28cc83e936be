"""Marks of a video that only some outputs keep: closed captions within it, 3D, 360 degrees."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.media.containers import open_input, read_packets
from framepack.media.frames.side_data import side_data

if TYPE_CHECKING:
    import av

    from framepack.media.clip import Clip

_CAPTIONS: Final = (b"\x00\x31GA94\x03", b"\x01\xb2GA94\x03")
"""What precedes closed captions (ATSC A/53) in H.264, HEVC and AV1, and in MPEG-2."""

_COUNT, _VALID, _DATA = 0x1F, 0x04, 0x7F
_FLAT: Final = 0  # a number of FFmpeg's types of stereo
_SLACK: Final = 0.9
_RECTILINEAR: Final = 4  # a number of FFmpeg's projections: a flat one
_HALF: Final = frozenset({3, 5})  # half equirectangular, fisheye
_NOT_STEREO: Final = "The file marks its video as stereoscopic (3D); the output does not."
_NO_CAPTIONS: Final = "The closed captions within the video were lost."
_FEWER_CAPTIONS: Final = "The closed captions within the video are only in some frames of the output."


def describe_spherical(frame: av.VideoFrame | None) -> Iterator[str]:
    """Describe the mark of a 360-degree video, which is lost: PyAV gives no way to write it."""
    data = side_data(frame, "SPHERICAL")
    projection = _RECTILINEAR if data is None else int.from_bytes(data[:4], sys.byteorder)
    if projection != _RECTILINEAR:
        degrees = 180 if projection in _HALF else 360
        yield f"The file marks its video as spherical ({degrees} degrees); outputs do not."


def is_stereo(frame: av.VideoFrame | None) -> bool:
    """Whether a frame is marked as holding the views of both eyes."""
    data = side_data(frame, "STEREO3D")
    return data is not None and int.from_bytes(data[:4], sys.byteorder) != _FLAT


def has_captions(data: bytes) -> bool:
    """Whether a packet holds closed captions; what only fills the time between them is none."""
    for prefix in _CAPTIONS:
        begin = data.find(prefix)
        if begin >= 0:
            begin += len(prefix)
            count = data[begin] & _COUNT if begin < len(data) else 0
            body = data[begin + 2 : begin + 2 + 3 * count]
            return any(
                first & _VALID and (second & _DATA or third & _DATA)
                for first, second, third in zip(body[::3], body[1::3], body[2::3], strict=False)
            )
    return False


def describe_lost_marks(clip: Clip, path: Path) -> Iterator[str]:
    """Describe marks of a clip's sources that its file lacks, after all of it was encoded.

    Where packets were copied, so were the captions in them, and none were counted.

    Args:
        clip: The clip.
        path: The file that was made of it.
    """
    if any(marks.is_stereo for marks in clip.marks) and not _is_stereo_file(path):
        yield _NOT_STEREO
    expected = sum(marks.captioned for marks in clip.marks) * clip.repeats
    if not expected:
        return
    with open_input(path) as container:
        packets = read_packets(container, container.streams.video[0])
        found = sum(has_captions(bytes(packet)) for packet in packets if packet.size)
    if found < _SLACK * expected:
        yield _FEWER_CAPTIONS if found else _NO_CAPTIONS


def _is_stereo_file(path: Path) -> bool:
    try:
        with open_input(path) as container:
            return is_stereo(next(container.decode(video=0), None))
    finally:
        gc.collect(1)  # PyAV: a frame whose side data was read is part of a reference cycle

"""Rows about marks that only some outputs keep: closed captions within the video, 3D, 360 degrees."""

from __future__ import annotations

import struct
from pathlib import Path

import av

from tests.corpus.containers import video
from tests.corpus.row import COUNT, Row, card
from tests.support.clips import REPRODUCIBLE, Spec, make_clip
from tests.support.odd_files import with_sample_box

CAPTION = bytes.fromhex("b50031474139340341fffc942cff")
"""One pair of line 21 characters (clear the screen), as ATSC A/53 wraps it."""

_SPHERICAL = "The file marks its video as spherical (360 degrees); outputs do not."
_NOT_STEREO = "The file marks its video as stereoscopic (3D); the output does not."
_LOST = "The closed captions within the video were lost."
_FEWER = "The closed captions within the video are only in some frames of the output."
_ANEW = ("export WebM", "upscale", "export GIF", "batch")


def captioned(folder: Path, name: str = "a.mp4", caption: bytes = CAPTION) -> Path:
    """H.264 each of whose frames has a closed caption."""
    message = b"\0\0\1\x06\x04" + bytes([len(caption)]) + caption + b"\x80"
    options = {"preset": "veryfast", "crf": "10", "bf": "0", "x264-params": "slices=1:sliced-threads=0"}
    plain = make_clip(folder / "plain.ts", Spec(count=COUNT, frame=card(), options=options))
    with av.open(str(plain)) as source, av.open(str(folder / name), "w", options=REPRODUCIBLE) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                data = bytes(packet)
                begin = max(data.find(b"\0\0\1\x65"), data.find(b"\0\0\1\x41"), data.find(b"\0\0\1\x61"))
                assert begin >= 0
                changed = av.Packet(data[:begin].rstrip(b"\0") + message + data[begin:])
                changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
                changed.duration, changed.is_keyframe = packet.duration, packet.is_keyframe
                changed.stream = stream
                output.mux(changed)
    return folder / name


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def spherical(folder: Path) -> Path:
    """A 360-degree video (boxes sv3d)."""
    projection = _box(b"prhd", bytes(16)) + _box(b"equi", bytes(20))
    content = _box(b"svhd", bytes(4) + b"test\0") + _box(b"proj", projection)
    return with_sample_box(video("a.mp4")(folder), b"sv3d", content)


def stereo(folder: Path) -> Path:
    """A video with the views of both eyes side by side (box st3d)."""
    return with_sample_box(video("a.mp4")(folder), b"st3d", bytes([0, 0, 0, 0, 2]))


ROWS = (
    Row(
        name="captions",
        kind="The rest of the file",
        says="Closed captions within the video (A/53 in H.264)",
        make=captioned,
        beeps=None,
        copied=True,
        in_operations={**dict.fromkeys(_ANEW, (_LOST,)), "ping-pong": (_FEWER,)},
        note="kept in MP4 where frames are not made anew",
    ),
    Row(
        name="spherical",
        kind="The rest of the file",
        says="A mark for 360 degrees",
        make=spherical,
        beeps=None,
        copied=True,
        warnings=(_SPHERICAL,),
        note="left out",
    ),
    Row(
        name="stereo",
        kind="The rest of the file",
        says="A mark for 3D",
        make=stereo,
        beeps=None,
        copied=True,
        in_operations=dict.fromkeys((*_ANEW, "loop", "join"), (_NOT_STEREO,)),
        note="kept in MP4 where frames are encoded, but not made anew",
    ),
)

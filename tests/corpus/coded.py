"""Rows about fields, telecine, edit lists with several parts, and what is not video: covers and subtitles."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any
from unicodedata import normalize

import av
from av.stream import Disposition
from PIL import Image

from tests.corpus.containers import BT601, beeping, remuxed, video
from tests.corpus.frames import DEINTERLACED
from tests.corpus.row import COUNT, Row, card
from tests.corpus.timing import FILM
from tests.support.clips import REPRODUCIBLE, Pixels, Spec, barred, make_clip, truncate
from tests.support.codings import Coding, encoded
from tests.support.fields import write_fields
from tests.support.odd_files import with_own_parameters

_REORDERED = [0, *(number for pair in range(1, COUNT - 1, 2) for number in (pair + 1, pair)), COUNT - 1]
_FIRST_FIELDS = (0, 1, 2, 3, 3)
_FLAGS = ((1, 1), (0, 0), (0, 1), (1, 0))  # top field first, first field again
_FIELD, _TICK = Fraction(1001, 60_000), Fraction(1, 90_000)


def coded_fields(name: str) -> Callable[[Path], Path]:
    """A maker of H.264 whose frames are two fields each, decoded in another order than shown."""
    luma = [barred(number, 128, 64)[..., 0] for number in range(COUNT)]
    return lambda folder: write_fields(folder / name, luma, order=_REORDERED)


def telecined(index: int, width: int, height: int) -> Pixels:
    """Four film frames as five of television: its fields show 0 0, 1 1, 2 1, 3 2, 3 3, the rows 1, 3, 5 first."""
    group, place = divmod(index, 5)
    image = card()(4 * group + (0, 1, 1, 2, 3)[place], width, height).copy()
    image[1::2] = card()(4 * group + _FIRST_FIELDS[place], width, height)[1::2]
    return image


def pulled_down(folder: Path) -> Path:
    """Film frames whose flags tell players to show them for three and two fields in turn, as on DVDs."""
    coding = Coding("plain.ts", "mpeg2video", options={"flags": "+ildct", "b": "8M", "bf": "0"}, colors=BT601)
    plain, path = encoded(folder, coding, card(), [(64, 64)], COUNT + 1), folder / "a.ts"
    fields = 0
    with av.open(str(plain)) as source, av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet, (top_first, repeats) in zip(packets, cycle(_FLAGS), strict=False):
            data = bytearray(packet)
            extension = data.find(b"\0\0\1\xb5", data.find(b"\0\0\1\0"))
            data[extension + 7] = data[extension + 7] & 0x7C | top_first << 7 | repeats << 1 | 1
            data[extension + 8] |= 0x80
            copy = av.Packet(bytes(data))
            copy.pts = copy.dts = round(fields * _FIELD / _TICK)
            copy.duration, copy.time_base = round((2 + repeats) * _FIELD / _TICK), _TICK
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            output.mux(copy)
            fields += 2 + repeats
    return path


def edited(folder: Path) -> Path:
    """B-frames, of which an edit list shows frames 0 to 3 and 8 to 11."""
    spec = Spec(count=COUNT, frame=card(), options={"preset": "veryfast", "crf": "10", "bf": "3"})
    path = make_clip(folder / "a.mp4", spec)
    data = bytearray(path.read_bytes())
    (unit,) = struct.unpack_from(">I", data, data.find(b"mdhd") + 16)
    begin = data.find(b"elst") - 4
    (old_bytes,) = struct.unpack_from(">I", data, begin)
    (delay,) = struct.unpack_from(">i", data, begin + 20)
    parts = b"".join(struct.pack(">IiI", 160, delay + unit * first // 25, 0x10000) for first in (0, 8))
    data[begin : begin + old_bytes] = struct.pack(">I4sII", 16 + len(parts), b"elst", 0, 2) + parts
    for name in (b"edts", b"trak", b"moov"):
        place = data.find(name) - 4
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + 16 + len(parts) - old_bytes)
    struct.pack_into(">I", data, data.find(b"tkhd") + 24, 320)
    path.write_bytes(data)
    return path


_LIVE = Spec(count=COUNT, frame=card(), audio=beeping("libmp3lame"), options={"preset": "veryfast", "crf": "10"})


def cut_live(folder: Path) -> Path:
    """A recording with B-frames that ends in its last packet of video."""
    path = remuxed("whole.mkv", "plain.mkv", replace(_LIVE, audio=None), live="1")(folder)
    with av.open(str(path)) as container:
        last = [packet.pos for packet in container.demux(video=0) if packet.size][-1]
    return truncate(path, folder / "a.mkv", (last or 0) / path.stat().st_size)


def spliced(folder: Path) -> Path:
    """Frames of two encoders; the packets of the second bring its parameters, unlike those in the header."""
    options = {"bf": "0", "crf": "10"}
    first = video("first.mp4", count=COUNT // 2, options={**options, "preset": "medium"})(folder)
    rest = video(
        "second.mp4",
        count=COUNT // 2,
        frame=lambda number, width, height: card()(COUNT // 2 + number, width, height),
        options={**options, "preset": "veryslow", "x264-params": "cabac=0:8x8dct=0"},
    )(folder)
    return with_own_parameters(first, rest, folder / "a.mp4", bring=[1])


def subtitled(folder: Path) -> Path:
    """A video with a track of subtitles."""
    plain = video("plain.mkv", beeping("libmp3lame"))(folder)
    text, path = folder / "a.srt", folder / "a.mkv"
    text.write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n", encoding="utf-8")
    return _with_another(plain, text, path, lambda stream: stream)


def covered(folder: Path) -> Path:
    """A video with a cover, as shops and players write it."""
    plain, image, path = video("plain.mp4", beeping())(folder), folder / "cover.png", folder / "a.mp4"
    Image.fromarray(card()(7, 64, 48)).save(image)

    def as_cover(stream: av.stream.Stream) -> av.stream.Stream:
        stream.disposition = Disposition.attached_pic
        return stream

    return _with_another(plain, image, path, as_cover)


def _with_another(
    plain: Path, other: Path, target: Path, change: Callable[[av.stream.Stream], av.stream.Stream]
) -> Path:
    """Copy a clip, and the stream of another file beside it."""
    with (
        av.open(str(plain)) as source,
        av.open(str(other)) as more,
        av.open(str(target), "w", options=REPRODUCIBLE) as output,
    ):
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        added = change(output.add_stream_from_template(more.streams[0]))
        for packet in more.demux():
            if packet.size:
                packet.stream, packet.pts, packet.dts = added, packet.pts or 0, packet.dts or 0
                output.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    return target


def _row(name: str, kind: str, says: str, make: Callable[[Path], Path], **fields: Any) -> Row:
    return Row(name=name, kind=kind, says=says, make=make, **fields)


_FIELDS: dict[str, Any] = {"size": (128, 64), "beeps": None, "patches": (), "colors": BT601}

ROWS = (
    _row(
        "paff-ts",
        "Shape of frames",
        "H.264 whose frames are coded as two fields each (PAFF), in TS",
        coded_fields("a.ts"),
        **_FIELDS,
    ),
    _row("paff-mp4", "Shape of frames", "The same in MP4", coded_fields("a.mp4"), copied=True, **_FIELDS),
    _row(
        "telecine",
        "Shape of frames",
        "Film that became interlaced television (3:2 pulldown)",
        lambda folder: encoded(
            folder,
            Coding("a.ts", "mpeg2video", options={"flags": "+ildct+ilme", "b": "8M"}, colors=BT601),
            telecined,
            [(64, 64)],
            15,
        ),
        shown=tuple(4 * group + number for group in range(3) for number in _FIRST_FIELDS),
        size=(64, 64),
        beeps=None,
        colors=BT601,
        on_decoding=(DEINTERLACED,),
        other_reader=False,
        note="one frame in five is repeated",
    ),
    _row(
        "pulldown-flags",
        "Shape of frames",
        "Film whose flags make it television (soft telecine, as on DVDs)",
        pulled_down,
        shown=tuple(range(COUNT + 1)),
        fps=FILM,
        size=(64, 64),
        beeps=None,
        colors=BT601,
        note="the frames of the film at its rate",
    ),
    _row(
        "edit-lists",
        "Timestamps and order",
        "An edit list with several parts",
        edited,
        shown=(0, 1, 2, 3, 8, 9, 10, 11),
        beeps=None,
    ),
    _row(
        "live-mkv",
        "Containers and codecs",
        "MKV as a live recording leaves it, without its size (B-frames)",
        remuxed("a.mkv", "plain.mkv", _LIVE, live="1"),
        copied=True,
    ),
    _row(
        "spliced",
        "Containers and codecs",
        "MP4 with H.264 whose parameters change midway, as of an editor that encodes only some parts anew",
        spliced,
        beeps=None,
    ),
    _row(
        "cut-live",
        "Damaged files",
        "A live recording (MKV) whose end is missing",
        cut_live,
        shown=(*range(10), 9, 11),
        beeps=None,
        warnings=(
            "The end of the file is missing or cannot be read.",
            "The file lacks # of 12 frames; the nearest readable frame was repeated.",
        ),
    ),
    _row(
        "cover",
        "The rest of the file",
        "A cover (MP4)",
        covered,
        copied=True,
        warnings=("Not carried over to outputs: 1 attachment.",),
    ),
    _row(
        "subtitles",
        "The rest of the file",
        "Subtitles",
        subtitled,
        copied=True,
        warnings=("Not carried over to outputs: 1 subtitle track.",),
    ),
    _row(
        "macos-name",
        "The rest of the file",
        "A file name as macOS spells it, letters and accents apart",
        video(f"{normalize('NFD', 'Vidéo à Zürich')}.mp4", beeping()),
        copied=True,
        by_url=True,
    ),
)

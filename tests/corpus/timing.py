"""Rows about frame rates, timestamps and the order of frames."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from tests.corpus.containers import BT601, SHARP, VP8, beeping, remuxed, video
from tests.corpus.row import COUNT, Row, card
from tests.support.clips import Spec, barred, make_clip
from tests.support.odd_files import (
    backward,
    cut_in_open_group,
    doubled,
    held,
    held_last,
    in_decoding_order,
    recorded,
    rewritten,
    slides,
    with_edit_lists,
    without_pes_times,
)

if TYPE_CHECKING:
    Packet = av.Packet[Any]

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
B_FRAMES = {"preset": "veryfast", "crf": "10", "bf": "3"}
NO_B_FRAMES = {**B_FRAMES, "bf": "0"}


def rows_of(kind: str, *rows: tuple[str, str, Callable[[Path], Path], dict[str, Any]]) -> tuple[Row, ...]:
    """Rows of one kind: name, words, maker and further fields of each."""
    return tuple(Row(name=name, kind=kind, says=says, make=make, **fields) for name, says, make, fields in rows)


def _thinned(fps: str, left_out: int, count: int) -> dict[str, tuple[str, ...]]:
    """What the export of a GIF says about frames above the most that it shows."""
    sentence = f"The GIF shows at most {fps} frames per second: {left_out} of {count} frames were left out."
    return {"export GIF": (sentence,)}


def at_rate(fps: Fraction | int, name: str = "a.mp4", count: int = COUNT) -> Callable[[Path], Path]:
    """A maker of a video of this rate."""
    audio = beeping(
        seconds=float(count / Fraction(fps)), beeps=(), codec="aac" if name.endswith("4") else "libmp3lame"
    )
    return video(name, audio, fps=Fraction(fps), count=count)


def changed(
    name: str, change: Callable[[list[Packet]], Iterator[Packet] | list[Packet]], **fields: Any
) -> Callable[[Path], Path]:
    """A maker that copies the packets of a clip without audio, changed."""
    spec = Spec(**{"count": COUNT, "frame": card(), "options": NO_B_FRAMES, **fields})

    def make(folder: Path) -> Path:
        return rewritten(make_clip(folder / "plain.mp4", spec), folder / name, change)

    return make


def without_times(packets: list[Packet]) -> Iterator[Packet]:
    """Every third packet has no presentation time."""
    for number, packet in enumerate(packets):
        packet.dts = number
        packet.pts = None if number % 3 == 1 else number
        packet.duration, packet.time_base = 1, Fraction(1, 25)
        yield packet


def with_gap(packets: list[Packet]) -> Iterator[Packet]:
    """Three frames are missing in the middle."""
    for number, packet in enumerate(packets):
        packet.pts = packet.dts = number + 3 * (number >= 6)
        packet.duration, packet.time_base = 1, Fraction(1, 25)
        yield packet


def edited(begin: Fraction, seconds: Fraction, **fields: Any) -> Callable[[Path], Path]:
    """A maker of a video whose edit list begins at ``begin`` seconds; its audio is not shifted."""

    def make(folder: Path) -> Path:
        return with_edit(video("a.mp4", **{"options": NO_B_FRAMES, **fields})(folder), begin, seconds)

    return make


def with_edit(path: Path, begin: Fraction, seconds: Fraction) -> Path:
    """Change the edit list of the first stream, the video, to one that begins at ``begin`` seconds."""
    data = bytearray(path.read_bytes())
    at = data.find(b"elst")
    (unit,) = struct.unpack(">I", data[data.find(b"mdhd") + 16 : data.find(b"mdhd") + 20])
    (decoded_ahead,) = struct.unpack(">i", data[at + 16 : at + 20])
    data[at + 12 : at + 20] = struct.pack(">Ii", round(seconds * 1000), round(begin * unit) + decoded_ahead)
    path.write_bytes(data)
    return path


def twice(name: str, **fields: Any) -> Callable[[Path], Path]:
    """A maker of two whole streams in one file, so that the clock starts anew."""

    def make(folder: Path) -> Path:
        part = video(f"part{Path(name).suffix}", beeping("mp2"), **fields)(folder)
        (folder / name).write_bytes(part.read_bytes() * 2)
        return folder / name

    return make


def segments(folder: Path) -> Path:
    """Two TS segments of one stream, put together: the clock runs on, continuity counters start anew."""
    options = {**B_FRAMES, "g": "6", "x264-params": "keyint=6:scenecut=0:open-gop=0"}
    path = make_clip(folder / "plain.ts", Spec(count=COUNT, frame=card(), options=options))
    for part in range(2):
        with av.open(str(path)) as source, av.open(str(folder / f"{part}.ts"), "w") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            packets = [packet for packet in source.demux(video=0) if packet.size]
            begin = next(number for number, packet in enumerate(packets) if number and packet.is_keyframe)
            for packet in packets[begin:] if part else packets[:begin]:
                packet.stream = stream
                output.mux(packet)
    (folder / "a.ts").write_bytes(b"".join((folder / f"{part}.ts").read_bytes() for part in range(2)))
    return folder / "a.ts"


def hidden(folder: Path) -> Path:
    """VP8 with a hidden copy before every fifth frame, as two-pass encoders place alternate reference frames."""
    path = video("plain.webm", codec="libvpx", colors=VP8)(folder)

    def with_copies(packets: list[Packet]) -> Iterator[Packet]:
        for number, packet in enumerate(packets):
            if number % 5 == 3:
                copy = av.Packet(bytes(packet))
                copy.pts = copy.dts = (packet.pts or 0) - 1
                copy.time_base = packet.time_base
                yield copy
            yield packet

    source = rewritten(path, folder / "a.webm", with_copies)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for packet, following in pairwise(packets):
        if (following.pts or 0) - (packet.pts or 0) == 1:
            data[data.index(bytes(packet), packet.pos)] &= ~0x10
    source.write_bytes(data)
    return source


def held_card(folder: Path) -> Path:
    """Ten frames, the last of which stays for 0.4 s."""
    return held(folder / "a.mp4", 10, Fraction(2, 5), preset="veryfast", crf="10", bf="0")


_BURST = sorted([Fraction(k, 2) for k in range(6)] + [1 + Fraction(k, 30) for k in range(1, 7)])
_CLOSE = sorted([Fraction(k, 5) for k in range(9)] + [1 + Fraction(2 * k, 1000) for k in range(1, 4)])
_SQUEEZED = (*(number for number in range(5) for _ in range(12)), 5, *[8] * 11, *[9] * 12, *[10] * 12, 11)
_PAUSED = [Fraction(k + 10 * (k > 5), 25) for k in range(COUNT)]  # frame 5 stays for 11 frame durations
_MINUTES = [Fraction(60 * k) for k in range(3)]
_SLOWER = [*(Fraction(k) for k in range(6)), *(5 + Fraction(3 * k, 2) for k in range(1, 7))]
_OPEN_GROUPS = {"bf": "2", "g": "6", **SHARP}
_CUT_AT = 6
_FIRST, _PART, _REST, _ONCE = Fraction(0), Fraction(7, 25), Fraction(5, 25), Fraction(1)
_BACKWARD = (
    "The file's edit list plays 1 of its 2 parts backward, which is not followed: all of the video is "
    "played once, in order."
)
_SLOW = [Fraction(k, 2) for k in range(6)]
_VARYING = [Fraction(k + k // 3, 25) for k in range(COUNT)]


def _at_slots(times: list[Fraction], fps: Fraction) -> tuple[int, ...]:
    """Which number is shown in each output frame."""
    slots = [round(time * fps) for time in times]
    return tuple(max(k for k, slot in enumerate(slots) if slot <= place) for place in range(slots[-1] + 1))


RATES = rows_of(
    "Frame rates",
    ("10fps", "10 frames per second", at_rate(10), {"fps": Fraction(10), "beeps": (), "copied": True}),
    ("film", "23.976 (24000/1001) frames per second", at_rate(FILM), {"fps": FILM, "beeps": (), "copied": True}),
    ("ntsc", "29.97 (30000/1001) frames per second", at_rate(NTSC), {"fps": NTSC, "beeps": (), "copied": True}),
    (
        "ntsc-mkv",
        "29.97 frames per second in MKV, whose times are whole milliseconds",
        at_rate(NTSC, "a.mkv"),
        {"fps": NTSC, "beeps": (), "copied": True},
    ),
    (
        "60fps-mkv",
        "59.94 frames per second in MKV, whose times are whole milliseconds",
        at_rate(2 * NTSC, "a.mkv"),
        {"fps": 2 * NTSC, "beeps": (), "copied": True, "in_operations": _thinned("29.97", 6, COUNT)},
    ),
    (
        "60fps",
        "59.94 (60000/1001) frames per second",
        at_rate(2 * NTSC),
        {"fps": 2 * NTSC, "beeps": (), "copied": True, "in_operations": _thinned("29.97", 6, COUNT)},
    ),
    (
        "240fps",
        "240 frames per second",
        at_rate(240),
        {
            "fps": Fraction(240),
            "beeps": (),
            "copied": True,
            "in_operations": _thinned("30", 10, COUNT),
            "refused_in": {"interpolate": "The output would have 480 frames per second; at most 240 are allowed."},
        },
    ),
    (
        "480fps",
        "480 frames per second",
        at_rate(480),
        {
            "refused": "The video's frame rate is 480 per second; 0.1 to 240 is allowed. "
            "Convert it to a rate in this range first."
        },
    ),
    ("two-frames", "Two frames", video("a.mp4", count=2), {"shown": (0, 1), "beeps": None, "copied": True}),
    ("one-frame", "One frame", video("a.mp4", count=1), {"shown": (0,), "beeps": None, "copied": False}),
    (
        "vfr",
        "A varying rate whose frames lie on a grid",
        video("a.mp4", times=_VARYING),
        {
            "shown": _at_slots(_VARYING, Fraction(25)),
            "beeps": None,
            "note": "the rate of the grid; frames are repeated",
        },
    ),
    (
        "slower",
        "One frame per second, later one every 1.5 seconds",
        lambda folder: held_last(video("plain.mp4", times=_SLOWER, options=NO_B_FRAMES)(folder), Fraction(3, 2)),
        {
            "shown": (*_at_slots(_SLOWER, Fraction(2)), COUNT - 1, COUNT - 1),
            "fps": Fraction(2),
            "beeps": None,
            "note": "a rate at which every frame is within 10 ms of its time",
        },
    ),
    (
        "minutes",
        "One frame a minute",
        lambda folder: held_last(video("plain.mp4", times=_MINUTES, options=NO_B_FRAMES)(folder), Fraction(60)),
        {
            "shown": tuple(k for k in range(len(_MINUTES)) for _ in range(60)),
            "fps": Fraction(1),
            "beeps": None,
            "note": "frames are repeated",
        },
    ),
    (
        "burst",
        "A screen recording that is slow, with a burst of 30 frames per second",
        lambda folder: recorded(folder / "a.webm", _BURST),
        {
            "shown": _at_slots(_BURST, Fraction(30)),
            "fps": Fraction(30),
            "beeps": None,
            "patches": (),
            "colors": VP8,
            "note": "the finest rate, up to 60; frames are repeated",
        },
    ),
    (
        "too-close",
        "Frames a few milliseconds apart",
        lambda folder: recorded(folder / "a.webm", _CLOSE),
        {
            "shown": _SQUEEZED,
            "fps": Fraction(60),
            "beeps": None,
            "patches": (),
            "colors": VP8,
            "other_reader": False,
            "warnings": ("# of 12 frames were dropped, too close to others for 60 frames per second.",),
        },
    ),
)

TIMES = rows_of(
    "Timestamps and order",
    (
        "avi-b-frames",
        "B-frames in AVI, which has no presentation times (x264)",
        video("a.avi", beeping("pcm_s16le"), options=B_FRAMES),
        {},
    ),
    (
        "avi-mpeg4-b",
        "B-frames in AVI (MPEG-4)",
        video("a.avi", codec="mpeg4", colors=BT601, options={"bf": "2", **SHARP}),
        {"beeps": None, "colors": BT601},
    ),
    (
        "decoding-times",
        "B-frames whose presentation times are those of decoding",
        changed("a.mp4", in_decoding_order, options=B_FRAMES),
        {"beeps": None},
    ),
    ("decoding-times-mkv", "The same in MKV", changed("a.mkv", in_decoding_order, options=B_FRAMES), {"beeps": None}),
    ("decoding-times-ts", "The same in TS", changed("a.ts", in_decoding_order, options=B_FRAMES), {"beeps": None}),
    ("doubled-times", "Each presentation time twice", changed("a.mkv", doubled), {"beeps": None}),
    (
        "backward-times",
        "Presentation times that go back",
        changed("a.mkv", backward, count=24),
        {"shown": tuple(range(24)), "beeps": None},
    ),
    ("missing-times", "Packets without presentation times", changed("a.ts", without_times), {"beeps": None}),
    *(
        (
            name,
            says,
            lambda folder, codec=codec: rewritten(
                video("plain.mkv", codec=codec, count=18, colors=BT601, options=_OPEN_GROUPS)(folder),
                folder / "a.mkv",
                cut_in_open_group,
            ),
            {
                "shown": (*[_CUT_AT] * 2, *range(_CUT_AT, 18)),
                "beeps": None,
                "colors": BT601,
                "patches": (),
                "on_decoding": ("2 of # frames could not be read; the nearest readable frame was repeated.",),
                "other_reader": False,
                "note": "frames that need one before the cut are those after it, and a warning counts them",
            },
        )
        for name, says, codec in (
            (
                "cut-open-group",
                "A cut within an open group of frames, without encoding (MPEG-2)",
                "mpeg2video",
            ),
            ("cut-open-group-mpeg4", "The same in MPEG-4", "mpeg4"),
        )
    ),
    (
        "sparse-times-ts",
        "Timestamps of only some frames, with B-frames (TS)",
        lambda folder: without_pes_times(video("a.ts", options=B_FRAMES)(folder), lambda number: number % 5 == 3),
        {"beeps": None},
    ),
    (
        "first-time-ts",
        "A timestamp of only the first frame (TS)",
        lambda folder: without_pes_times(
            video("a.ts", beeping(), options=B_FRAMES)(folder), lambda number: not number
        ),
        {},
    ),
    (
        "h264-mpg",
        "H.264 in an MPEG program stream, whose packs have one timestamp each",
        video("a.mpg", beeping("mp2"), options=B_FRAMES),
        {},
    ),
    (
        "silent-mpg",
        "A silent MPEG program stream, of which FFmpeg gives some times to other frames",
        video("a.mpg", codec="mpeg2video", count=48, frame=barred, options={"bf": "2", "b": "2M"}, colors=BT601),
        {"shown": tuple(range(48)), "beeps": None, "colors": BT601, "patches": ()},
    ),
    (
        "gap",
        "A pause of three frames",
        changed("a.mkv", with_gap),
        {"shown": (*range(6), 5, 5, 5, *range(6, COUNT)), "beeps": None},
    ),
    (
        "late-start",
        "Frames and audio that begin at 3 s",
        video("a.mkv", beeping("libmp3lame", start=Fraction(3)), start=Fraction(3)),
        {"copied": True},
    ),
    (
        "edit-list",
        "An edit list that shows a part",
        edited(Fraction(3, 25), Fraction(6, 25), audio=None),
        {"shown": (3, 4, 5, 6, 7, 8), "beeps": None},
    ),
    (
        "edit-within",
        "An edit list that begins within a frame that stays long, as in a trimmed screen recording",
        edited(Fraction(10, 25), Fraction(12, 25), audio=beeping(), times=_PAUSED),
        {"shown": (*[5] * 5, *range(5, COUNT)), "other_reader": False},
    ),
    (
        "edit-within-last",
        "An edit list that begins within the last frame",
        edited(Fraction(201, 50), Fraction(1, 50), times=[*(Fraction(k, 25) for k in range(COUNT - 1)), Fraction(4)]),
        {"shown": (COUNT - 1,), "beeps": None, "other_reader": False},
    ),
    (
        "edit-within-slow",
        "The same in 5 frames per second, with B-frames",
        edited(Fraction(11, 10), Fraction(13, 10), fps=Fraction(5), options=B_FRAMES),
        {
            "shown": (5, *[k for k in range(6, COUNT) for _ in range(2)]),
            "fps": Fraction(10),
            "beeps": None,
            "other_reader": False,
            "note": "twice the rate, so that frames keep their times",
        },
    ),
    (
        "edit-decoding-times",
        "An edit list of B-frames whose presentation times are those of decoding, as FFmpeg cuts AVI into MP4",
        lambda folder: with_edit(
            changed("a.mp4", in_decoding_order, options=B_FRAMES)(folder), Fraction(5, 25), Fraction(7, 25)
        ),
        {"shown": tuple(range(5, COUNT)), "beeps": None, "other_reader": False},
    ),
    *(
        (
            name,
            f"An edit list {says}",
            lambda folder, parts=parts: with_edit_lists(
                video("a.mp4", beeping(), options=B_FRAMES)(folder), parts, parts
            ),
            {"other_reader": False, **fields},
        )
        for name, says, parts, fields in (
            (
                "edit-reordered",
                "that plays a later part first",
                [(_REST, _PART, _ONCE), (_PART, _FIRST, _ONCE), (_REST, _PART, _ONCE)],
                {"shown": (*range(7, 12), *range(12)), "beeps": (0.4,)},
            ),
            (
                "edit-repeated",
                "that repeats a part",
                [(_PART, Fraction(2, 25), _ONCE)] * 3,
                {"shown": (*range(2, 9),) * 3, "beeps": (0.12, 0.4, 0.68)},
            ),
            (
                "edit-pause",
                "with a pause in the middle",
                [(_PART, _FIRST, _ONCE), (_PART, None, _ONCE), (_REST, _PART, _ONCE)],
                {"shown": (*range(7), *[6] * 7, *range(7, 12)), "note": "the frame before the pause is held"},
            ),
            (
                "edit-dwell",
                "that holds a frame",
                [(_PART, _FIRST, _ONCE), (_PART, Fraction(6, 25), Fraction(0)), (_REST, _PART, _ONCE)],
                {"shown": (*range(7), *[6] * 7, *range(7, 12))},
            ),
            (
                "edit-slow",
                "that plays at half the speed",
                [(2 * (_PART + _REST), _FIRST, Fraction(1, 2))],
                {
                    "shown": tuple(k for k in range(12) for _ in range(2)),
                    "beeps": (0.4,),
                    "note": "the pitch of the audio is kept",
                    "differs": {"ping-pong": "the beep lasts twice as long"},
                },
            ),
            (
                "edit-fast",
                "that plays at double speed",
                [((_PART + _REST) / 2, _FIRST, Fraction(2))],
                {
                    "fps": Fraction(50),
                    "beeps": (0.1,),
                    "note": "twice the rate, so that no frame is lost",
                    "in_operations": _thinned("25", 6, COUNT),
                },
            ),
            (
                "edit-to-the-end",
                "with a duration of 0, which means up to the end",
                [(_FIRST, _FIRST, _ONCE)],
                {},
            ),
            (
                "edit-backward",
                "that plays a part backward",
                [(_PART, _FIRST, _ONCE), (_REST, _PART, Fraction(-1))],
                {
                    "note": "all is played forward, with a warning",
                    "warnings": (_BACKWARD,),
                },
            ),
        )
    ),
    ("hidden-frames", "Hidden frames (alternate references of VP8)", hidden, {"beeps": None, "colors": VP8}),
    (
        "restart-ts",
        "A clock that starts anew (joined TS files)",
        twice("a.ts"),
        {
            "shown": tuple(range(COUNT)) * 2,
            "beeps": (0.2, 0.2 + COUNT / 25),
            "warnings": ("The file's clock starts anew or jumps once; its parts follow each other without a gap.",),
        },
    ),
    ("segments", "Segments of one stream put together (TS)", segments, {"beeps": None}),
    (
        "restart-mpg",
        "The same in MPEG program streams",
        twice("a.mpg", codec="mpeg2video", options=SHARP),
        {
            "shown": tuple(range(COUNT)) * 2,
            "beeps": (0.2, 0.2 + COUNT / 25),
            "warnings": ("The file's clock starts anew or jumps once; its parts follow each other without a gap.",),
        },
    ),
    (
        "restart-mpg-h264",
        "The same with H.264, of which few frames have timestamps",
        twice("a.mpg", options=B_FRAMES),
        {
            "shown": tuple(range(COUNT)) * 2,
            "beeps": (0.2, 0.2 + COUNT / 25),
            "warnings": ("The file's clock starts anew or jumps once; its parts follow each other without a gap.",),
        },
    ),
    (
        "wrap",
        "A clock that wraps after 26.5 hours (TS)",
        remuxed("a.ts", "plain.ts", Spec(count=COUNT, frame=card(), audio=beeping()), output_ts_offset="95442.3"),
        {"copied": False},
    ),
    (
        "last-too-short",
        "A last frame that is too short to show (MP4)",
        lambda folder: held_last(video("plain.mp4", times=_SLOW, options=NO_B_FRAMES)(folder), Fraction(1, 200)),
        {
            "shown": tuple(range(6)),
            "fps": Fraction(2),
            "beeps": None,
            "warnings": (
                "The last frame is shown # seconds longer than the file says, which is too short for a frame.",
            ),
            "note": "as long as the others",
        },
    ),
    (
        "mp4-short-last",
        "A last frame that is shorter than the others (MP4)",
        lambda folder: held_last(video("plain.mp4", times=_SLOW, options=NO_B_FRAMES)(folder), Fraction(1, 10)),
        {
            "shown": (*(k for k in range(5) for _ in range(5)), 5),
            "fps": Fraction(10),
            "beeps": None,
            "note": "a multiple of the rate, so that it ends in time",
        },
    ),
    (
        "slides",
        "Slides of which the last one is there again for a moment, as FFmpeg makes them (MKV)",
        lambda folder: slides(folder / "a.mkv", [Fraction(3 * k, 2) for k in range(3)], frame=card()),
        {
            "shown": (*[0] * 30, *[1] * 30, 2),
            "fps": Fraction(20),
            "beeps": None,
            "note": "a multiple of the rate, so that it ends in time",
        },
    ),
    (
        "mp4-last",
        "A last frame that stays longer (MP4)",
        held_card,
        {"shown": (*range(9), *[9] * 10), "beeps": None, "patches": ()},
    ),
)

ROWS = RATES + TIMES

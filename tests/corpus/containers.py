"""Rows about containers and codecs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from framepack.media.clip import Colors, Matrix
from tests.corpus.row import BEEP, COUNT, Row, card
from tests.support.clips import REPRODUCIBLE, AudioSpec, Spec, make_audio, make_clip
from tests.support.odd_files import animated, gif

KIND = "Containers and codecs"
SECONDS = COUNT / 25
ACCEPTED = (
    "MP4, MOV, MKV, WebM, AVI, WMV, MPEG, TS, FLV, Ogg, GIF, animated WebP and animated PNG files are accepted."
)
REFUSED = f"The file is not a video that can be read: {ACCEPTED}"
QUICK = {"libvpx": {"deadline": "realtime", "cpu-used": "-8", "b": "2M"}}
SHARP = {"global_quality": "236", "flags": "+qscale"}
BT601 = Colors(Matrix.BT601, 6, 6)
FULL = Colors(full_range=True)
VP8 = Colors(Matrix.BT601, 1, 1)


def beeping(codec: str = "aac", **fields: Any) -> AudioSpec:
    """Audio as long as the video, with a beep."""
    return AudioSpec(codec, **{"seconds": SECONDS, "beeps": (BEEP,), **fields})


def video(name: str, audio: AudioSpec | None = None, **fields: Any) -> Callable[[Path], Path]:
    """A maker of numbered frames with color patches, and with audio if it is given."""
    codec = fields.get("codec", "")
    spec = Spec(**{"count": COUNT, "frame": card(), "audio": audio, "options": QUICK.get(codec, {}), **fields})
    return lambda folder: make_clip(folder / name, spec)


def remuxed(name: str, plain: str, spec: Spec, **options: str) -> Callable[[Path], Path]:
    """A maker that copies all packets of another clip into a file with muxer options."""

    def make(folder: Path) -> Path:
        source_path = make_clip(folder / plain, spec)
        with (
            av.open(str(source_path)) as source,
            av.open(str(folder / name), "w", options={**REPRODUCIBLE, **options}) as output,
        ):
            streams = [output.add_stream_from_template(stream) for stream in source.streams]
            for packet in source.demux():
                if packet.size:
                    packet.stream = streams[packet.stream_index]
                    output.mux(packet)
        return folder / name

    return make


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    """A maker of a file with this content."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def still(name: str) -> Callable[[Path], Path]:
    """A maker of a still image."""

    def make(folder: Path) -> Path:
        Image.fromarray(card()(0, 64, 48)).save(folder / name)
        return folder / name

    return make


def _animation(path: Path, delay: int) -> Path:
    return animated(path, [delay] * COUNT) if path.suffix != ".gif" else _gif(path, delay)


def _gif(path: Path, delay: int) -> Path:
    return gif(path, [delay] * COUNT)


def _audio_only(folder: Path) -> Path:
    return make_audio(folder / "a.m4a", beeping())


def _row(name: str, says: str, make: Callable[[Path], Path], **fields: Any) -> Row:
    return Row(name=name, kind=KIND, says=says, make=make, **fields)


ROWS = (
    _row("mp4", "MP4 with H.264 and AAC", video("a.mp4", beeping()), copied=True),
    _row("ts-of-one", "TS of one frame", video("a.ts", count=1), beeps=None, shown=(0,)),
    _row(
        "ps-of-one",
        "MPEG program stream of one frame",
        video("a.mpg", codec="mpeg2video", count=1),
        beeps=None,
        shown=(0,),
    ),
    _row("mkv", "MKV with H.264 and FLAC", video("a.mkv", beeping("flac")), copied=True),
    _row(
        "mp4-hevc",
        "MP4 with H.265 (HEVC)",
        video(
            "a.mp4",
            beeping(),
            codec="libx265",
            options={"x265-params": "log-level=none", "preset": "ultrafast", "crf": "10"},
        ),
    ),
    _row(
        "mp4-av1",
        "MP4 with AV1",
        video("a.mp4", beeping(), codec="libsvtav1", size=(64, 64), options={"preset": "12", "crf": "10"}),
        size=(64, 64),
    ),
    _row(
        "webm-vp8",
        "WebM with VP8 and Opus",
        video("a.webm", beeping("libopus"), codec="libvpx", colors=VP8),
        colors=VP8,
    ),
    _row("webm-vp9", "WebM with VP9 and Opus", video("a.webm", beeping("libopus"))),
    _row(
        "mov-prores",
        "MOV with ProRes 4:2:2, 10 bits, and PCM",
        video("a.mov", beeping("pcm_s16le"), codec="prores_ks", pix_fmt="yuv422p10le"),
    ),
    _row(
        "avi-mjpeg",
        "AVI with Motion JPEG and PCM",
        video(
            "a.avi",
            beeping("pcm_s16le"),
            codec="mjpeg",
            pix_fmt="yuvj420p",
            colors=replace(BT601, full_range=True),
            options=SHARP,
        ),
        colors=replace(BT601, full_range=True),
        tolerance=16,
    ),
    _row(
        "avi-mpeg4",
        "AVI with MPEG-4 (Xvid) and PCM",
        video("a.avi", beeping("pcm_s16le"), codec="mpeg4", colors=BT601, options=SHARP),
        colors=BT601,
    ),
    _row(
        "avi-empty",
        "AVI that begins with an empty chunk",
        video("a.avi", beeping("libmp3lame"), codec="mpeg4", colors=BT601, options=SHARP),
        colors=BT601,
        shown=(0, *range(COUNT)),
        beeps=(BEEP + 0.023,),
        note="the first frame is shown for it",
    ),
    _row(
        "wmv",
        "WMV with WMV2 and WMA",
        video(
            "a.wmv",
            beeping("wmav2", layout="stereo", rate=44100, bit_rate=128_000),
            codec="wmv2",
            colors=BT601,
            options=SHARP,
        ),
        colors=BT601,
    ),
    _row(
        "wmv-h264",
        "WMV with H.264 with B-frames and WMA",
        video(
            "a.wmv",
            beeping("wmav2", layout="stereo", rate=44100, bit_rate=128_000),
            codec="libx264",
            options={"preset": "veryfast", "bf": "3", "crf": "10"},
        ),
    ),
    _row(
        "flv",
        "FLV with Sorenson H.263 and MP3",
        video("a.flv", beeping("libmp3lame", rate=44100), codec="flv", colors=BT601, options=SHARP),
        colors=BT601,
    ),
    _row(
        "3gp",
        "3GP with H.263 and AAC",
        video(
            "a.3gp", beeping(), codec="h263", size=(128, 96), fps=Fraction(30000, 1001), colors=BT601, options=SHARP
        ),
        colors=BT601,
        aspect=Fraction(12, 11),
        size=(128, 96),
        fps=Fraction(30000, 1001),
    ),
    _row(
        "mpeg1",
        "MPEG program stream with MPEG-1 and MP2",
        video("a.mpg", beeping("mp2"), codec="mpeg1video", colors=BT601, options=SHARP),
        colors=BT601,
    ),
    _row(
        "mpeg2",
        "MPEG program stream with MPEG-2 and AC-3",
        video("a.mpg", beeping("ac3"), codec="mpeg2video", options=SHARP),
    ),
    _row("ts", "MPEG transport stream (TS) with H.264 and AAC", video("a.ts", beeping()), copied=True),
    _row("mkv-ffv1", "MKV with FFV1 (lossless) and FLAC", video("a.mkv", beeping("flac"), codec="ffv1")),
    _row(
        "avi-huffyuv",
        "AVI with HuffYUV",
        video("a.avi", codec="huffyuv", pix_fmt="yuv422p", colors=BT601),
        beeps=None,
        colors=BT601,
    ),
    _row(
        "mov-png", "MOV with PNG frames (RGB)", video("a.mov", codec="png", pix_fmt="rgb24", colors=None), beeps=None
    ),
    _row(
        "mov-qtrle",
        "MOV with QuickTime Animation (RGB)",
        video("a.mov", codec="qtrle", pix_fmt="rgb24", colors=None),
        beeps=None,
    ),
    _row(
        "fragmented",
        "Fragmented MP4, as browsers and streams have it",
        remuxed(
            "a.mp4",
            "plain.mp4",
            Spec(count=COUNT, frame=card(), audio=beeping(), options={"g": "4"}),
            movflags="frag_keyframe+empty_moov",
        ),
        copied=True,
    ),
    _row(
        "open-gop",
        "MPEG-2 with open groups of frames (GOP) and B-frames",
        video("a.ts", beeping("mp2"), codec="mpeg2video", options={"g": "6", "bf": "2", **SHARP}),
    ),
    _row(
        "b-pyramid",
        "H.264 with a pyramid of B-frames",
        video("a.mp4", beeping(), options={"preset": "veryfast", "bf": "8", "b-pyramid": "normal", "crf": "10"}),
        copied=True,
    ),
    _row(
        "webp",
        "Animated WebP",
        lambda folder: _animation(folder / "a.webp", 40),
        beeps=None,
        patches=(),
        other_reader=False,
    ),
    _row(
        "apng",
        "Animated PNG",
        lambda folder: _animation(folder / "a.png", 40),
        beeps=None,
        patches=(),
        other_reader=False,
    ),
    _row("gif", "GIF", lambda folder: _animation(folder / "a.gif", 40), beeps=None, patches=()),
    _row(
        "raw-h264",
        "Raw H.264 without a container",
        lambda folder: make_clip(folder / "a.h264", Spec(count=COUNT, frame=card())),
        refused=REFUSED,
    ),
    _row(
        "y4m",
        "YUV4MPEG2 (y4m)",
        lambda folder: make_clip(folder / "a.y4m", Spec(count=3, codec="rawvideo")),
        refused=f"The file is raw Y4M, not a video that can be read: {ACCEPTED}",
    ),
    _row(
        "still-png",
        "A still image",
        still("a.png"),
        refused=f"The file is a still image (PNG), not a video that can be read: {ACCEPTED}",
    ),
    _row(
        "still-gif",
        "A GIF of one frame",
        still("a.gif"),
        shown=(0,),
        fps=Fraction(10),
        beeps=None,
        tolerance=16,
        note="0.1 seconds",
    ),
    _row(
        "playlist",
        "A playlist (HLS)",
        written("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n"),
        refused=f"The file is a playlist, not a video that can be read: {ACCEPTED}",
    ),
    _row(
        "text",
        "Anything else, such as text",
        written("a.mp4", json.dumps({"a": 1}).encode()),
        refused=f"The file is text, not a video that can be read: {ACCEPTED}",
    ),
    _row(
        "no-video",
        "A file with audio only",
        _audio_only,
        refused=f"The file holds only audio (aac), no video: {ACCEPTED}",
    ),
    _row(
        "names",
        "A file name with any characters, such as Cyrillic and emoji",
        video("видео 🎬 #1?.mp4", beeping()),
        copied=True,
        by_url=True,
    ),
)

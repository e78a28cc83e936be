"""Frames on their way to the device: the right RGB, whatever the layout of the planes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from framepack.media.clip import Colors, Frame, HostFrame, Matrix
from framepack.models.frames.device_frame import DeviceFrame, to_device
from tests.support.upscaling import BIKES_COLORS, BUNNY_COLORS, decoded, psnr

CPU = torch.device("cpu")
LAYOUTS = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1)}


def random_frame(pixel_format: str, width: int, height: int, seed: int = 0) -> av.VideoFrame:
    """Noise in every plane, over all numbers that the depth allows."""
    frame = av.VideoFrame(width, height, pixel_format)
    bits = frame.format.components[0].bits
    random = np.random.default_rng(seed)
    for plane in frame.planes:
        dtype = np.uint8 if bits == 8 else np.uint16
        samples = random.integers(0, 2**bits, (plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        plane.update(samples.tobytes())
    return frame


def samples_of(frame: av.VideoFrame) -> list[NDArray[np.float64]]:
    """The planes of a frame as floats."""
    bits = frame.format.components[0].bits
    dtype: Any = np.uint8 if bits == 8 else np.uint16
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(bytes(plane), dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width].astype(np.float64))
    return planes


def expected_rgb(frame: av.VideoFrame, colors: Colors) -> NDArray[np.float64]:
    """H.273 in double precision; chroma is interpolated linearly from where its samples sit."""
    bits = frame.format.components[0].bits
    y, *chroma = samples_of(frame)
    across, down = LAYOUTS[frame.format.name[:7]]
    columns = np.arange(frame.width) / across  # co-sited with even columns
    rows = (np.arange(frame.height) + 0.5) / down - 0.5  # midway between two rows
    full = []
    for plane in chroma:
        wide = np.stack([np.interp(columns, np.arange(plane.shape[1]), row) for row in plane])
        full.append(np.stack([np.interp(rows, np.arange(plane.shape[0]), column) for column in wide.T], axis=1))
    unit, largest = 2.0 ** (bits - 8), 2.0**bits - 1
    luma = y / largest if colors.full_range else (y - 16 * unit) / (219 * unit)
    cb, cr = ((plane - 128 * unit) / (largest if colors.full_range else 224 * unit) for plane in full)
    kr, kb = colors.matrix.red_blue
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue]).clip(0, 1)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", list(Matrix))
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le"])
def test_rgb_matches_the_formulas_of_h273(pixel_format: str, matrix: Matrix, *, full_range: bool) -> None:
    """Every layout, matrix and range is converted as H.273 says, to a thousandth of a step of 8 bits."""
    colors = Colors(matrix, full_range=full_range)
    frame = random_frame(pixel_format, 50, 34)
    rgb = to_device([HostFrame(frame)], CPU, torch.float32, colors)
    assert rgb.shape == (1, 3, 34, 50)
    assert np.abs(rgb[0].numpy() - expected_rgb(frame, colors)).max() < 0.001 / 255


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 20), st.sampled_from(["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"]))
def test_rgb_is_correct_for_odd_and_tiny_sizes(width: int, height: int, pixel_format: str) -> None:
    """Odd and tiny sizes are converted like all others."""
    frame = random_frame(pixel_format, width, height, seed=width)
    rgb = to_device([HostFrame(frame)], CPU, torch.float32, Colors())
    assert np.abs(rgb[0].numpy() - expected_rgb(frame, Colors())).max() < 0.001 / 255


def test_sixteen_bit_samples_keep_their_lowest_bit() -> None:
    """Samples beyond 32767 are not taken for negative ones."""
    frame = random_frame("yuv444p16le", 16, 16)
    rgb = to_device([HostFrame(frame)], CPU, torch.float32, Colors())
    assert np.abs(rgb[0].numpy() - expected_rgb(frame, Colors())).max() < 0.001 / 255


@pytest.mark.parametrize(
    ("clip", "colors", "colorspace"),
    [("bikes.mp4", BIKES_COLORS, Colorspace.ITU601), ("bigbuckbunny.mp4", BUNNY_COLORS, Colorspace.ITU709)],
)
def test_rgb_matches_ffmpegs_conversion(clip: str, colors: Colors, colorspace: Colorspace) -> None:
    """A real frame is converted as FFmpeg does it when told to be accurate."""
    frame = decoded(clip, 40)
    theirs = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=colorspace,
        src_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BILINEAR
        | Interpolation.ACCURATE_RND
        | Interpolation.FULL_CHR_H_INT
        | Interpolation.FULL_CHR_H_INP,
    )
    ours = to_device([HostFrame(frame)], CPU, torch.float32, colors)[0]
    assert psnr(ours, torch.from_numpy(theirs.to_ndarray()).permute(2, 0, 1) / 255) > 50


def test_planes_with_negative_strides_are_read_top_down() -> None:
    """FFmpeg flips by walking backwards through memory; that is followed."""
    frame = random_frame("yuv420p", 16, 8)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=8, format=frame.format, time_base=Fraction(1, 25))
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    graph.push(frame)
    flipped = graph.pull()
    assert isinstance(flipped, av.VideoFrame)
    assert flipped.planes[0].line_size < 0
    rgb = to_device([HostFrame(frame), HostFrame(flipped)], CPU, torch.float32, Colors())
    assert torch.equal(rgb[1], rgb[0].flip(1))


def test_a_batch_equals_its_frames_converted_alone() -> None:
    """Frames converted together are what each of them is alone, in the same order."""
    frames: list[Frame] = [HostFrame(random_frame("yuv420p", 20, 10, seed)) for seed in range(3)]
    batch = to_device(frames, CPU, torch.float32, Colors())
    alone = torch.cat([to_device([frame], CPU, torch.float32, Colors()) for frame in frames])
    assert torch.equal(batch, alone)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_frames_in_device_memory_are_not_converted() -> None:
    """A tensor that is there already comes through bit by bit, also among frames of the host."""
    tensor = torch.rand(3, 10, 20)
    hosted = HostFrame(random_frame("yuv420p", 20, 10))
    deep = HostFrame(random_frame("yuv420p10le", 20, 10))
    frames: list[Frame] = [hosted, DeviceFrame(tensor, Colors()), deep]
    batch = to_device(frames, CPU, torch.float32, Colors())
    assert torch.equal(batch[1], tensor)
    assert torch.equal(
        batch[::2], torch.cat([to_device([frame], CPU, torch.float32, Colors()) for frame in (hosted, deep)])
    )


def test_clipping_keeps_rgb_within_range() -> None:
    """What is outside of 0..1, as after filters, is clipped where it was asked for, and only there."""
    frame = DeviceFrame(torch.rand(3, 10, 20) * 2 - 0.5, Colors())
    assert torch.equal(to_device([frame], CPU, torch.float32, Colors())[0], frame.tensor.clamp(0, 1))
    assert torch.equal(to_device([frame], CPU, torch.float32, Colors(), clip=False)[0], frame.tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_batch_has_the_requested_dtype(dtype: torch.dtype) -> None:
    """The numbers are rounded to the dtype at the end, not before."""
    frame = HostFrame(random_frame("yuv420p", 20, 10))
    exact = to_device([frame], CPU, torch.float32, Colors())
    assert torch.equal(to_device([frame], CPU, dtype, Colors()), exact.to(dtype))

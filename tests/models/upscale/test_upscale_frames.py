"""Video through the upscaler: exact sizes, exact order, and no work that nobody needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from framepack.errors import Cancelled
from framepack.media.clip import Colors, Frame, HostFrame
from framepack.models.frames.device_frame import DeviceFrame, resize, to_device
from framepack.models.memory.device import Device
from framepack.models.upscale.upscale_frames import UpscaleTarget, upscale_frames
from framepack.models.upscale.upscaler import Upscaler
from framepack.operations.postprocess.upscale import target_size
from tests.support.upscaling import (
    BIKES_COLORS,
    BUNNY_COLORS,
    REAL_NETWORKS,
    Watched,
    compact,
    cropped,
    decoded,
    psnr,
    real_network,
    real_reference,
    rrdb,
)

CPU = Device(torch.device("cpu"))
FACTORS = st.floats(1, 4).map(lambda factor: round(factor, 2))


def rgb_frames(count: int, width: int = 24, height: int = 16) -> list[Frame]:
    """Different frames that are on the device already."""
    return [
        DeviceFrame(torch.full((3, height, width), (index + 1) / (count + 1)), Colors()) for index in range(count)
    ]


def run(
    frames: Iterator[Frame],
    upscaler: Upscaler,
    size: tuple[int, int] = (48, 32),
    check: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """Upscale frames with everything usual."""
    return upscale_frames(frames, upscaler, UpscaleTarget(*size, Colors()), colors=Colors(), tile_size=0, check=check)


@given(st.integers(1, 4096), st.integers(1, 4096), FACTORS)
def test_target_size_is_the_nearest_even_size(width: int, height: int, factor: float) -> None:
    """No even number is nearer to what was asked for."""
    for side, target in zip((width, height), target_size(width, height, factor), strict=True):
        assert target % 2 == 0
        assert abs(target - side * Fraction(str(factor))) <= 1


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [
        ((640, 360), 2, (1280, 720)),
        ((853, 480), 1.5, (1280, 720)),
        ((427, 241), 1, (428, 242)),
        ((10, 30), 1.1, (12, 34)),
        ((1, 1), 1.0, (2, 2)),
    ],
)
def test_target_size_examples(size: tuple[int, int], factor: float, expected: tuple[int, int]) -> None:
    """Halfway between two even numbers the larger one is taken, and decimals are meant as written."""
    assert target_size(*size, factor) == expected


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), FACTORS, st.sampled_from([1, 2, 4]))
def test_output_has_exactly_the_target_size(width: int, height: int, factor: float, scale: int) -> None:
    """Every network reaches every factor from 1 to 4, for any size of frame."""
    upscaler = Upscaler(compact(scale=scale, convs=1), CPU)
    size = target_size(width, height, factor)
    made = list(run(iter(rgb_frames(2, width, height)), upscaler, size))
    assert [(frame.width, frame.height) for frame in made] == [size, size]
    assert [(frame.on_host().width, frame.on_host().height) for frame in made] == [size, size]


@pytest.mark.parametrize("size", [(240, 160), (123, 77), (60, 40), (480, 400)])
def test_resize_matches_pillows_bicubic(size: tuple[int, int]) -> None:
    """Up and down, with its filter widened for less, as Pillow does it."""
    frame = torch.rand(2, 3, 160, 240, generator=torch.Generator().manual_seed(0))
    made = resize(frame, *size)
    channels = [
        np.asarray(Image.fromarray(channel.numpy()).resize(size, Image.Resampling.BICUBIC))
        for channel in frame.flatten(0, 1)
    ]
    expected = torch.from_numpy(np.stack(channels)).clamp(0, 1).view_as(made)
    assert made.dtype == torch.float32
    assert (made - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", REAL_NETWORKS)
@pytest.mark.parametrize(("clip", "colors"), [("bikes.mp4", BIKES_COLORS), ("bigbuckbunny.mp4", BUNNY_COLORS)])
def test_real_video_equals_the_networks_own_output(name: str, clip: str, colors: Colors, tmp_path: Path) -> None:
    """Decoded frames come out as spandrel's descriptor and a resize make them."""
    frame = HostFrame(cropped(decoded(clip, 50), 300, 100, 48, 32))
    source = to_device([frame], torch.device("cpu"), torch.float32, colors)
    expected = resize(real_reference(name, tmp_path)(source), 96, 64)
    (made,) = upscale_frames(
        iter([frame]),
        Upscaler(real_network(name, tmp_path), Device.find("cpu")),
        UpscaleTarget(96, 64, colors),
        colors=colors,
        tile_size=0,
        check=lambda: None,
    )
    assert isinstance(made, DeviceFrame)
    assert made.colors == colors
    assert psnr(made.tensor[None], expected) > 55
    back = to_device([HostFrame(made.on_host())], torch.device("cpu"), torch.float32, colors)
    assert psnr(back, expected) > 40


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_frames_are_yielded_in_order(count: int) -> None:
    """As many frames come out as went in, in their order."""
    made = list(run(iter(rgb_frames(count)), Upscaler(compact(), CPU)))
    brightness = [float(frame.tensor.mean()) for frame in made if isinstance(frame, DeviceFrame)]
    assert len(brightness) == count
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == count


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_repeated_frames_are_computed_once(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same object several times in a row is one piece of work, and one object in the result."""
    first, second, third = rgb_frames(3)
    frames = [first, first, first, second, third, third, first]
    upscaler = Upscaler(compact(), CPU)
    monkeypatch.setattr(upscaler, "batch_size", lambda _case: batch)
    watched = Watched(upscaler._network)
    made = list(run(iter(frames), upscaler))
    assert sum(shape[0] for shape in watched.shapes) == 4
    assert [made.index(frame) for frame in made] == [0, 0, 0, 3, 4, 4, 6]


@pytest.mark.parametrize("batch", [1, 3])
def test_at_most_one_batch_is_read_ahead(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame is there when a batch and the frame after it have been read."""
    read: list[Frame] = []

    def source() -> Iterator[Frame]:
        for frame in rgb_frames(20):
            read.append(frame)
            yield frame

    upscaler = Upscaler(compact(), CPU)
    monkeypatch.setattr(upscaler, "batch_size", lambda _case: batch)
    made = run(source(), upscaler)
    next(made)
    assert len(read) == batch + 1


def test_a_cancelled_job_stops_within_a_frame() -> None:
    """After the job is cancelled the network is not asked again, whatever it has made; the decoder is closed."""
    closed: list[bool] = []
    cancelled: list[bool] = []

    def source() -> Iterator[Frame]:
        try:
            yield from rgb_frames(20)
        finally:
            closed.append(True)

    def check() -> None:
        if cancelled:
            raise Cancelled("The job was cancelled.")

    upscaler = Upscaler(compact(), CPU)
    watched = Watched(upscaler._network)
    made = run(source(), upscaler, check=check)
    next(made)
    calls = len(watched.shapes)
    cancelled.append(True)
    with pytest.raises(Cancelled):
        list(made)
    assert len(watched.shapes) == calls
    assert closed == [True]


def test_closing_the_result_closes_the_source() -> None:
    """Whoever stops listening stops all work behind."""
    closed: list[bool] = []

    def source() -> Iterator[Frame]:
        try:
            yield from rgb_frames(20)
        finally:
            closed.append(True)

    made = run(source(), Upscaler(compact(), CPU))
    next(made)
    made.close()  # type: ignore[attr-defined] # it is a generator
    assert closed == [True]


def test_out_of_memory_does_not_change_the_output() -> None:
    """A stream whose frames only fit in tiles gives the frames that these tiles give."""
    frames = rgb_frames(3, 200, 100)
    size = (400, 200)

    def fails(given: torch.Tensor, _number: int) -> Exception | None:
        return MemoryError() if given.shape[-1] > 150 else None

    upscaler = Upscaler(rrdb(), CPU)
    watched = Watched(upscaler._network, fails)
    made = list(run(iter(frames), upscaler, size))
    usual = list(
        upscale_frames(
            iter(frames),
            Upscaler(rrdb(), CPU),
            UpscaleTarget(*size, Colors()),
            colors=Colors(),
            tile_size=100,
            check=lambda: None,
        )
    )
    at_once, alone = 2, 1
    assert sum(shape[-1] > 150 for shape in watched.shapes) in {alone, at_once + alone}
    for ours, theirs in zip(made, usual, strict=True):
        assert isinstance(ours, DeviceFrame)
        assert isinstance(theirs, DeviceFrame)
        assert torch.equal(ours.tensor, theirs.tensor)

"""Video through the interpolator: source frames untouched, new ones in between, and no work that nobody needs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

from framepack.errors import Cancelled
from framepack.media.clip import Colors, Frame, HostFrame
from framepack.media.timeline.retiming import Retiming
from framepack.models.frames.device_frame import DeviceFrame
from tests.support.interpolation import (
    Calls,
    between,
    device_frames,
    host_frame,
    interpolator,
    luma_of,
    mixing,
    noise,
    real_frames,
    run,
    texture,
)
from tests.support.rife_reference import random_rife


def moving(count: int, height: int = 48, width: int = 64) -> list[Frame]:
    """Frames on the host that show one texture moving by 4 pixels a frame."""
    whole = texture(height, width + 4 * count)
    return [host_frame(np.ascontiguousarray(whole[:, 4 * index : 4 * index + width])) for index in range(count)]


@pytest.mark.parametrize(("factor", "speed"), [(2, 1.0), (4, 1.0), (1, 0.5), (2, 0.5), (4, 0.25), (1, 1.5), (2, 3.0)])
def test_output_frames_at_source_times_are_the_source_frames(factor: int, speed: float) -> None:
    """Where the output falls on a source frame, it is that very object; everything else is drawn."""
    frames = moving(4)
    retiming = Retiming.of(factor, speed)
    model = interpolator()
    calls = Calls(model)
    made = list(run(frames, model, factor, speed))
    assert len(made) == retiming.length(4)
    times = [min(index * retiming.step, Fraction(3)) for index in range(len(made))]
    for time, frame in zip(times, made, strict=True):
        if time.denominator == 1:
            assert frame is frames[int(time)]
        else:
            assert isinstance(frame, DeviceFrame)
            assert frame.tensor.dtype == torch.float16
            assert (frame.width, frame.height) == (64, 48)
    assert calls.drawn == sum(time.denominator > 1 for time in times) > 0


def test_generated_frames_have_the_right_timestep() -> None:
    """Each new frame is what the network draws between its neighbors at its own fraction, in its place."""
    whole = noise(1, 64, 72)[0] * 0.5 + 0.2
    images = torch.stack([whole[..., 4 * index : 4 * index + 64] for index in range(3)])
    model = interpolator(random_rife(3))
    frames = device_frames(images)
    made = list(run(frames, model, 4, 1.0))
    for index in range(2):
        for step in (1, 2, 3):
            frame = made[4 * index + step]
            assert isinstance(frame, DeviceFrame)
            expected = between(model, images[index], images[index + 1], step / 4)[0]
            assert (frame.tensor - expected).abs().max() < 2e-3


def test_every_source_frame_is_encoded_once() -> None:
    """However many moments are drawn at both of its sides, the features of a frame are computed once."""
    for factor, speed, drawn in ((2, 1.0, 3), (4, 1.0, 9), (2, 0.25, 21)):
        model = interpolator()
        calls = Calls(model)
        list(run(moving(4), model, factor, speed))
        assert calls.looks == 4
        assert calls.drawn == drawn


def test_small_frames_are_generated_in_batches() -> None:
    """As many moments as are best drawn together are, across pairs of frames."""
    model = interpolator()
    calls = Calls(model)
    list(run(moving(7), model, 2, 1.0))
    assert calls.batches == [4, 2]


def test_nothing_is_generated_between_equal_frames() -> None:
    """Between frames that are one object, or equal in every sample, nothing is drawn, and they are looked at once."""
    first, second = moving(2)
    copy = host_frame(luma_of(first).copy())
    assert copy.on_host() is not first.on_host()
    model = interpolator()
    calls = Calls(model)
    made = list(run([first, first, copy, second, second], model, 4, 0.5))
    assert len(made) == 40
    assert calls.drawn == 7
    assert calls.looks == 2
    assert all(frame is first for frame in made[:17])
    assert all(frame is second for frame in made[24:])


def test_frames_are_generated_between_nearly_equal_frames() -> None:
    """One sample of luma or chroma that differs by one makes a frame a new one."""
    luma = texture(48, 64)
    changed = luma.copy()
    changed[40, 50] += 1
    for other in (host_frame(changed), host_frame(luma, blue=129), host_frame(luma, red=127)):
        model = interpolator()
        calls = Calls(model)
        assert list(run([host_frame(luma), other], model))[2] is other
        assert calls.drawn == 1


def test_nothing_is_generated_between_equal_frames_in_device_memory() -> None:
    """Also what a network made twice from equal frames is not interpolated."""
    image = noise(1, 48, 64)
    frames = device_frames(torch.cat([image, image]))
    model = interpolator()
    calls = Calls(model)
    assert [frame is frames[0] for frame in run(frames, model)] == [True] * 4
    assert calls.drawn == 0
    half = [frames[0], *device_frames(image.half().float() + 0.01)]
    assert len(list(run(half, model))) == 4
    assert calls.drawn == 1


def test_without_motion_the_generated_frame_is_the_mean() -> None:
    """Halfway between two frames, a network that sees no motion gives their mean, to one level, also in color."""
    one, other = host_frame(texture(48, 64), 100, 120), host_frame(texture(48, 64) // 2 + 60, 140, 130)
    made = list(run([one, other], interpolator()))[1].on_host().to_ndarray()
    expected = (one.on_host().to_ndarray().astype(int) + other.on_host().to_ndarray()) / 2
    assert np.abs(made - expected).max() <= 1


def test_the_frame_before_is_repeated_across_a_cut() -> None:
    """At a cut of a real clip no frame is drawn: the cut comes at its own time."""
    frames = real_frames("bikes", 28, 4)  # the third one begins a scene
    model = interpolator()
    calls = Calls(model)
    made = list(run(frames, model, 4, 1.0))
    assert [frames.index(frame) for frame in made[4:9]] == [1, 1, 1, 1, 2]
    assert calls.drawn == 6
    assert all(isinstance(frame, DeviceFrame) for frame in (*made[1:4], *made[9:12]))


def test_fast_motion_is_interpolated() -> None:
    """The fastest frames of the real clip are interpolated, not held."""
    model = interpolator()
    calls = Calls(model)
    list(run(real_frames("bikes", 97, 4), model, 2, 1.0))
    assert calls.drawn == 3


def test_values_beyond_white_are_kept() -> None:
    """Luma above 235, which cameras record, does not flicker: new frames have it as the source's have."""
    luma = (235 + texture(48, 64).astype(np.int16) // 12).astype(np.uint8)
    dark = (16 - texture(48, 64).astype(np.int16) // 20).astype(np.uint8)
    for samples in (luma, dark):
        moved = np.ascontiguousarray(np.roll(samples, 1, 1))
        made = luma_of(list(run([host_frame(samples), host_frame(moved)], interpolator()))[1]).astype(int)
        assert np.abs(made - (samples.astype(int) + moved) / 2).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p12le"])
def test_any_pixel_format_is_accepted(pix_fmt: str) -> None:
    """Deep and finely colored sources are interpolated, to frames in 8 bits, 4:2:0."""
    frames: list[Frame] = [HostFrame(frame.on_host().reformat(format=pix_fmt)) for frame in moving(2)]
    made = list(run(frames, interpolator()))
    assert made[0] is frames[0]
    assert made[1].on_host().format.name == "yuv420p"
    expected = sum(luma_of(frame).astype(int) for frame in moving(2)) / 2
    assert np.abs(luma_of(made[1]) - expected).max() <= 2


@pytest.mark.parametrize("size", [(50, 66), (2, 2)])
def test_any_frame_size_is_accepted(size: tuple[int, int]) -> None:
    """The network's padding is not seen."""
    made = list(run(moving(2, *size), interpolator(random_rife(1))))
    assert [(frame.height, frame.width) for frame in made] == [size] * 4


def test_a_single_frame_is_repeated() -> None:
    """A clip of one frame is held, and no network is asked."""
    [frame] = moving(1)
    model = interpolator()
    calls = Calls(model)
    assert [made is frame for made in run([frame], model, 4, 0.25)] == [True] * 16
    assert (calls.drawn, calls.looks) == (0, 0)


@pytest.mark.parametrize(("factor", "speed"), [(2, 1.0), (4, 0.25), (1, 3.7)])
def test_only_a_few_frames_are_held(factor: int, speed: float) -> None:
    """Few source frames and few new ones are alive at a time, however long the clip is."""
    alive: weakref.WeakSet[Frame] = weakref.WeakSet()
    highest = 0

    def frames() -> Iterator[Frame]:
        for image in noise(24, 128, 192):
            frame = Watched(image, Colors())
            alive.add(frame)
            yield frame
            del frame

    for frame in run(frames(), interpolator(mixing()), factor, speed):
        del frame
        gc.collect(0)
        highest = max(highest, len(alive))
    assert 1 <= highest <= 5


class Watched(DeviceFrame):
    """A frame that can be counted."""


def test_stopping_closes_the_source() -> None:
    """Whoever stops iterating closes the iterator of source frames."""
    closed = []

    def frames() -> Iterator[Frame]:
        try:
            yield from moving(9)
        finally:
            closed.append(True)

    made = run(frames(), interpolator())
    assert [next(made) for _ in range(3)]
    made.close()  # type: ignore[attr-defined]
    assert closed == [True]


@pytest.mark.parametrize("allowed", [0, 1, 5, 9])
def test_a_cancelled_job_stops_and_closes_its_source(allowed: int) -> None:
    """What ``check`` raises ends the work and closes the source."""
    closed: list[bool] = []
    checks: list[int] = []

    def frames() -> Iterator[Frame]:
        try:
            yield from moving(9)
        finally:
            closed.append(True)

    def check() -> None:
        if len(checks) == allowed:
            raise Cancelled("The job was cancelled.")
        checks.append(1)

    with pytest.raises(Cancelled):
        list(run(frames(), interpolator(), check=check))
    assert closed == [True]


def test_generated_frames_have_the_clips_colors() -> None:
    """New frames carry the clip's colors on their way to the encoder."""
    from framepack.media.clip import Matrix
    from framepack.models.interpolate.interpolate_frames import interpolate_frames

    colors = Colors(Matrix.BT601, 6, 6, full_range=True)
    made = list(interpolate_frames(moving(2), interpolator(), Retiming.of(2, 1.0), colors=colors, check=lambda: None))
    image = made[1].on_host()
    assert (image.colorspace, image.color_range) == (6, 2)
    expected = sum(luma_of(frame).astype(int) for frame in moving(2)) / 2
    assert np.abs(luma_of(made[1]) - expected).max() <= 1

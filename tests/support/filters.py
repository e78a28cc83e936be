"""Frames for tests of filters, and the expected results, computed independently of the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from framepack.api.filter_settings import CONTROLS, FILTER_PRESETS, FilterSettings
from framepack.media.clip import Colors, Frame, HostFrame, Matrix
from framepack.media.filters.host_filter import HostFilter
from framepack.media.filters.strips import filter_threads
from framepack.media.filters.texture import Grain
from framepack.media.frames.arrays import planes_of
from framepack.media.frames.colors import tag
from framepack.models.frames.device_filter import DeviceFilter
from framepack.models.frames.device_frame import DeviceFrame, to_device
from tests.support.clips import real_clip

Values = NDArray[np.float64]
BT709 = Colors()
LOOKS = {name: preset.model_dump() for name, preset in FILTER_PRESETS.items() if not preset.is_neutral}
"""Every built-in preset that does something, by its name."""
STRONG = {control.name: max(control.toward_ends(0.3)) for control in CONTROLS}
"""Every control at once, clearly visible."""


def each_control(*parts: float) -> list[dict[str, float]]:
    """Every control alone, so far from its default toward each of its ends; 1 is the end itself."""
    return [{control.name: value} for control in CONTROLS for part in parts for value in control.toward_ends(part)]


def named(look: dict[str, float]) -> str:
    """The look's preset, else its controls, as the name of a test."""
    names = (name for name, preset in LOOKS.items() if preset == look)
    return next(names, None) or ", ".join(f"{name}={value:g}" for name, value in look.items())


def host_frame(
    y: NDArray[Any], u: NDArray[Any] | int, v: NDArray[Any] | int, layout: str = "yuv420p", colors: Colors = BT709
) -> HostFrame:
    """A frame of these codes; one number fills a plane."""
    frame = av.VideoFrame(y.shape[1], y.shape[0], layout)
    planes = planes_of(frame)
    for plane, samples in ((planes.y, y), (planes.u, u), (planes.v, v)):
        plane[:] = samples
    tag(frame, colors)
    return HostFrame(frame)


def gray(level: int, size: tuple[int, int] = (64, 48)) -> HostFrame:
    """An even gray of this luma code."""
    return host_frame(np.full(size[::-1], level, np.uint8), 128, 128)


def all_grays(layout: str = "yuv420p", colors: Colors = BT709) -> HostFrame:
    """A ramp over every code of luma, without color."""
    depth = av.VideoFormat(layout).components[0].bits
    ramp = np.tile(np.arange(2**depth), (4, 1))
    middle = 1 << (depth - 1)
    return host_frame(ramp, middle, middle, layout, colors)


@lru_cache(maxsize=4)
def real_frames(name: str = "bikes", first: int = 40, count: int = 1) -> tuple[HostFrame, ...]:
    """Frames of a real clip, tagged BT.709."""
    with av.open(str(real_clip(name))) as container:
        frames = list(islice(container.decode(video=0), first, first + count))
    for frame in frames:
        tag(frame, BT709)
    return tuple(HostFrame(frame) for frame in frames)


def on_device(frame: Frame, colors: Colors = BT709, dtype: torch.dtype = torch.float16) -> DeviceFrame:
    """The same frame as an RGB tensor, colors outside of RGB's range included."""
    batch = to_device([frame], torch.device("cpu"), torch.float32, colors, clip=False)
    return DeviceFrame(batch[0].to(dtype), colors)


def filtered(frames: Sequence[Frame], colors: Colors = BT709, /, **controls: float) -> list[Frame]:
    """Frames in one memory through the filters for that memory."""
    settings = FilterSettings(**controls)
    width, height = frames[0].width, frames[0].height
    grain = None
    if settings.film_grain_strength:
        grain = Grain(settings.film_grain_strength, width, height, (width, height))
    with filter_threads() as run:
        if isinstance(frames[0], DeviceFrame):
            device = DeviceFilter(settings, colors, grain)
            return [device(frame, index) for index, frame in enumerate(frames)]
        host = HostFilter(settings, colors, grain, run)
        return [host(frame, index) for index, frame in enumerate(frames)]


def one(frame: Frame, colors: Colors = BT709, /, **controls: float) -> Frame:
    """One frame through the filters of the memory that it is in."""
    return filtered([frame], colors, **controls)[0]


def codes(frame: Frame) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Luma, blue and red difference as they are stored; signed integers."""
    planes = planes_of(frame.on_host())
    y, u, v = (np.array(plane, np.int64) for plane in (planes.y, planes.u, planes.v))
    return y, u, v


def luma(frame: Frame) -> NDArray[Any]:
    """Luma as it is stored; signed integers."""
    return codes(frame)[0]


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of 8-bit numbers in dB; infinite if they are equal."""
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


# What should come out, in double precision


def spline(points: Sequence[tuple[float, float]], x: Values) -> Values:
    """The natural cubic spline through ``points``, from its definition as a linear system."""
    xs, ys = (np.array(part, np.float64) for part in zip(*points, strict=True))
    steps, count = np.diff(xs), len(xs)
    system, right = np.eye(count), np.zeros(count)
    for i in range(1, count - 1):
        system[i, i - 1 : i + 2] = steps[i - 1] / 6, (steps[i - 1] + steps[i]) / 3, steps[i] / 6
        right[i] = (ys[i + 1] - ys[i]) / steps[i] - (ys[i] - ys[i - 1]) / steps[i - 1]
    bend = np.linalg.solve(system, right)
    piece = np.clip(np.searchsorted(xs, x, "right") - 1, 0, count - 2)
    h, left, rest = steps[piece], x - xs[piece], xs[piece + 1] - x
    return (
        (bend[piece] * rest**3 + bend[piece + 1] * left**3) / (6 * h)
        + (ys[piece] / h - bend[piece] * h / 6) * rest
        + (ys[piece + 1] / h - bend[piece + 1] * h / 6) * left
    )


def s_curve(strength: float, x: Values) -> Values:
    """The curve that the control means."""
    bend = 0.15 * strength / 100
    return spline([(0, 0), (0.25, 0.25 - bend), (0.75, 0.75 + bend), (1, 1)], x)


def tone(
    y: Values, *, brightness: float = 0, contrast: float = 1, s_curve_contrast: float = 0, **_others: float
) -> Values:
    """Luma through the point-wise controls; what is beyond black and white counts as these."""
    straight = np.clip(contrast * (np.clip(y, 0, 1) - 0.5) + 0.5 + brightness / 100, 0, 1)
    return s_curve(s_curve_contrast, straight)


def rgb_of(frame: Frame, colors: Colors = BT709) -> Values:
    """RGB of a 4:4:4 frame by the textbook formulas, shape (3, H, W), not clipped."""
    y, u, v = codes(frame)
    depth = frame.on_host().format.components[0].bits
    unit = 2.0 ** (depth - 8)
    full = 2.0**depth - 1
    black, white, steps = (0.0, full, full) if colors.full_range else (16 * unit, 219 * unit, 224 * unit)
    value, blue, red = (y - black) / white, (u - 128 * unit) / steps, (v - 128 * unit) / steps
    kr, kb = Matrix(colors.matrix).red_blue
    r, b = value + 2 * (1 - kr) * red, value + 2 * (1 - kb) * blue
    return np.stack([r, (value - kr * r - kb * b) / (1 - kr - kb), b])

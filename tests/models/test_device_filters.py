"""The filters on the device: the same look as on the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from framepack.api.filter_settings import FilterSettings
from framepack.media.clip import Colors, HostFrame, Matrix
from framepack.media.images.convert import to_rgb
from framepack.models.frames.device_filter import DeviceFilter
from framepack.models.frames.device_frame import DeviceFrame
from tests.support.filters import (
    BT709,
    LOOKS,
    codes,
    each_control,
    filtered,
    gray,
    host_frame,
    named,
    on_device,
    one,
    psnr,
    real_frames,
    tone,
)

# Also between default and ends: both ends of a control that turns colors look the same whichever way it turns them.
EVERY_LOOK = [*each_control(0.2, 0.6, 1), *LOOKS.values()]
DIFFERS = (
    "dB between the two implementations: compare framepack/models/frames/device_filter.py (RGB) with "
    "framepack/media/filters/ (planar YUV: luma.py, chroma.py, denoise.py); both use grade.py there"
)
BT709_WEIGHTS = (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("clip", ["bikes", "bigbuckbunny"])
@pytest.mark.parametrize("look", EVERY_LOOK, ids=named)
def test_device_filter_matches_host_filter(look: dict[str, float], clip: str) -> None:
    """Every control and preset, on frames filtered on their device or fetched first: 45 dB, deep colors included."""
    frames = [on_device(frame) for frame in real_frames(clip, 40, 2)]
    device = filtered(frames, **look)
    host = filtered([HostFrame(frame.on_host()) for frame in frames], **look)

    assert min(psnr(to_rgb(one_), to_rgb(other)) for one_, other in zip(host, device, strict=True)) > 45, DIFFERS
    quality = min(psnr(codes(a)[n], codes(b)[n]) for a, b in zip(host, device, strict=True) for n in range(3))
    assert quality > 45, DIFFERS


@pytest.mark.parametrize("look", [LOOKS["cinematic"], {"denoise": 6}], ids=named)
def test_device_filter_matches_host_filter_in_all_color_spaces(look: dict[str, float]) -> None:
    """Also with another matrix and range."""
    colors = Colors(Matrix.BT601, 6, 6, full_range=True)
    y, u, v = codes(real_frames()[0])
    frame = host_frame(y, u, v, "yuv420p", colors)

    assert psnr(to_rgb(one(frame, colors, **look)), to_rgb(one(on_device(frame, colors), colors, **look))) > 45


def test_strips_of_tall_frames_have_no_seams() -> None:
    """Pieces of work do not show: rows that are far from the edges are those of a part of the frame."""
    torch.manual_seed(0)
    tensor = torch.rand(3, 700, 40)
    look = FilterSettings(blur=4, sharpen=3, contrast=1.2, denoise=4)
    whole = DeviceFilter(look, BT709, None)(DeviceFrame(tensor, BT709), 0)
    part = DeviceFilter(look, BT709, None)(DeviceFrame(tensor[:, 200:600], BT709), 0)

    assert torch.equal(whole.tensor[:, 230:570], part.tensor[:, 30:370])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_size_and_dtype_are_kept_and_the_source_is_unchanged(dtype: torch.dtype) -> None:
    """Odd sizes and either precision come out as they came in, luma within 0..1; the source is left alone."""
    look = FilterSettings(**{**LOOKS["dramatic"], "denoise": 5, "blur": 2})
    tensor = torch.rand(3, 131, 77).to(dtype)
    before = tensor.clone()
    result = filtered([DeviceFrame(tensor, BT709)] * 2, **look.model_dump())[1]

    assert isinstance(result, DeviceFrame)
    assert (result.tensor.shape, result.tensor.dtype, result.colors) == (tensor.shape, dtype, BT709)
    weights = torch.tensor(BT709_WEIGHTS).view(3, 1, 1)
    luma = (result.tensor.float() * weights).sum(0)
    assert -0.001 <= luma.min() <= luma.max() <= 1.001
    assert torch.equal(tensor, before)


def test_extreme_brightness_and_contrast() -> None:
    """White, black and flat gray, within a level."""
    frame = on_device(real_frames()[0])
    for name, end, value in (("brightness", 100, 1.0), ("brightness", -100, 0.0), ("contrast", 0, 0.5)):
        result = one(frame, **{name: end})
        assert isinstance(result, DeviceFrame)
        assert (result.tensor - value).abs().max() < 1 / 255


def test_samples_are_rounded_once() -> None:
    """A soft ramp through several controls has as many levels as double precision gives it."""
    ramp = torch.linspace(0, 1, 2048).expand(3, 8, 2048)
    look: dict[str, float] = {"contrast": 1.3, "brightness": -5, "s_curve_contrast": 15}
    exact = np.round(tone(np.linspace(0, 1, 2048), **look) * 219 + 16)

    result = codes(one(DeviceFrame(ramp, BT709), **look))[0][4]

    assert np.abs(result - exact).max() <= 1
    assert len(np.unique(result)) == len(np.unique(exact))


def test_frames_in_host_memory_are_rejected() -> None:
    """It would be filtered in the wrong place."""
    with pytest.raises(TypeError, match="device"):
        DeviceFilter(FilterSettings(blur=1), BT709, None)(gray(100), 0)


@pytest.mark.gpu
def test_gpu_results_match_cpu_results() -> None:
    """On CUDA every look is what the CPU makes."""
    frames = [on_device(frame) for frame in real_frames(count=3)]
    there = [DeviceFrame(frame.tensor.cuda(), frame.colors) for frame in frames]
    for look in EVERY_LOOK:
        for here, far in zip(filtered(frames, **look), filtered(there, **look), strict=True):
            assert psnr(codes(here)[0], codes(far)[0]) > 55, f"{named(look)}: {DIFFERS}"

"""Ends of scenes: found in real clips, all of them and nothing else, wherever the frames are."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from framepack.media.clip import Colors, HostFrame, Matrix
from framepack.models.frames.device_frame import DeviceFrame, to_device
from framepack.models.frames.scene_cuts import Thumbnail, is_cut, thumbnail
from tests.support.clips import real_clip
from tests.support.interpolation import host_frame, texture

CUTS = {"bikes": [30, 76, 137, 187, 242], "bigbuckbunny": [], "carphone_pristine": []}


@pytest.fixture(scope="module")
def thumbnails() -> dict[str, list[Thumbnail]]:
    """Every frame of the real clips, small."""
    found = {}
    for name in CUTS:
        with av.open(str(real_clip(name))) as container:
            found[name] = [thumbnail(HostFrame(frame)) for frame in container.decode(video=0)]
    return found


@pytest.mark.parametrize("name", CUTS)
def test_cuts_between_real_clips_are_detected(name: str, thumbnails: dict[str, list[Thumbnail]]) -> None:
    """Exactly the cuts are found: not the bikes that fly by at a sixth of the frame's width per frame."""
    frames = thumbnails[name]
    assert [index for index in range(1, len(frames)) if is_cut(frames[index - 1], frames[index])] == CUTS[name]


@pytest.mark.parametrize("name", CUTS)
def test_motion_at_double_speed_is_not_a_cut(name: str, thumbnails: dict[str, list[Thumbnail]]) -> None:
    """Also with every second frame missing, motion is motion: cuts are found where they are, and nowhere else."""
    frames = thumbnails[name]
    found = [index for index in range(2, len(frames)) if is_cut(frames[index - 2], frames[index])]
    assert found == [index for cut in CUTS[name] for index in (cut, cut + 1)]


def test_cuts_between_scenes_of_one_clip_are_detected(thumbnails: dict[str, list[Thumbnail]]) -> None:
    """A frame of one scene after a frame of another is a cut, whichever they are."""
    frames = thumbnails["bikes"]
    middles = [frames[index] for index in (15, 50, 100, 160, 215, 246)]
    assert all(is_cut(one, other) for one in middles for other in middles if one is not other)


def test_detection_is_symmetric_in_time(thumbnails: dict[str, list[Thumbnail]]) -> None:
    """The order of the two frames does not matter."""
    frames = thumbnails["bikes"]
    for before, after in ((frames[29], frames[30]), (frames[99], frames[100])):
        assert is_cut(before, after) == is_cut(after, before)


@pytest.mark.parametrize("change", [-60, -20, 20, 50])
def test_flashes_and_fades_are_not_cuts(change: int) -> None:
    """Another brightness of the same frame is drawn through."""
    luma = texture(144, 256).astype(np.int16) // 2 + 70
    before, after = (host_frame(each.astype(np.uint8)) for each in (luma, luma + change))
    assert not is_cut(thumbnail(before), thumbnail(after))


def test_noise_is_not_a_cut() -> None:
    """Grain of a dark, flat frame is not another scene."""
    random = np.random.default_rng(1)
    before, after = (random.normal(30, 8, (144, 256)).clip(16, 235).astype(np.uint8) for _ in range(2))
    assert not is_cut(thumbnail(host_frame(before)), thumbnail(host_frame(after)))


@pytest.mark.parametrize("size", [(2, 2), (17, 40), (31, 33), (1080, 1920)])
def test_frames_of_any_size_are_accepted(size: tuple[int, int]) -> None:
    """Thumbnails are 32 x 32 and keep the frame's mean, down to frames smaller than they are."""
    luma = texture(*(side + side % 2 for side in size))
    small = thumbnail(host_frame(luma))
    assert small.shape == (32, 32)
    assert abs(float(small.mean()) - float(luma.mean())) < 2


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p12le"])
def test_thumbnails_are_equal_for_all_bit_depths_and_chroma_layouts(pix_fmt: str) -> None:
    """The same frame with more bits or more chroma has the same thumbnail."""
    frame = host_frame(texture(96, 128))
    other = HostFrame(frame.on_host().reformat(format=pix_fmt))
    np.testing.assert_allclose(thumbnail(other), thumbnail(frame), atol=1)


@pytest.mark.parametrize("colors", [Colors(), Colors(Matrix.BT601, 6, 6)])
def test_thumbnails_are_equal_on_host_and_device(colors: Colors) -> None:
    """A frame on the device has the thumbnail of its luma in full range."""
    frame = host_frame(texture(96, 128), blue=110, red=150)
    tensor = to_device([frame], torch.device("cpu"), torch.float32, colors, clip=False)[0].half()
    expected: NDArray[np.float32] = (thumbnail(frame) - 16) * np.float32(255 / 219)
    np.testing.assert_allclose(thumbnail(DeviceFrame(tensor, colors)), expected, atol=0.6)

"""Detect scene cuts: pairs of frames that motion cannot explain.

Luma thumbnails are compared by block matching: every block of one frame is searched near its position in the other
frame, in both directions, after removing the overall change of brightness. Within a scene most blocks
are found,
however fast the motion is. Across a cut they are not, and the best match is no better than the block's own mean. The
measure is the matching residual divided by the texture of the block: real cuts have 0.92 or more, the fastest real
motion 0.56.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from framepack.media.frames.arrays import planes_of
from framepack.models.frames.device_frame import DeviceFrame

if TYPE_CHECKING:
    from framepack.media.clip import Frame

Thumbnail = NDArray[np.float32]
"""Luma of a whole frame in 8-bit levels, shape (32, 32), whatever the aspect ratio."""

_SIDE: Final = 32
_BLOCK: Final = 8
_SEARCH_RANGE: Final = 6  # pixels of the thumbnail: a fifth of the frame
_SAMPLES: Final = 8  # per thumbnail pixel in each direction
_MIN_CHANGE: Final = 6.0  # mean difference in levels; below it there is no cut
_NOISE: Final = 1.0  # levels; keeps the quotient stable in flat frames
_THRESHOLD: Final = 0.85


def thumbnail(frame: Frame) -> Thumbnail:
    """Compute a frame's thumbnail; if the frame is on the device, there, which is waited for."""
    if isinstance(frame, DeviceFrame):
        return np.asarray(device_thumbnail(frame).cpu().numpy())
    return host_thumbnail(frame)


def host_thumbnail(frame: Frame) -> Thumbnail:
    """Compute the thumbnail of a frame on the host."""
    planes = planes_of(frame.on_host())
    sampled = planes.y[np.ix_(_sample_positions(frame.height), _sample_positions(frame.width))]
    samples = sampled.astype(np.float32) * np.float32(2.0 ** (8 - planes.depth))
    cells: Thumbnail = samples.reshape(_SIDE, _SAMPLES, _SIDE, _SAMPLES).mean((1, 3), dtype=np.float32)
    return cells


@torch.inference_mode()
def device_thumbnail(frame: DeviceFrame) -> Tensor:
    """Compute the thumbnail of a frame in device memory there; a GPU is not waited for."""
    tensor = frame.tensor
    rows, columns = (_device_positions(side, tensor.device) for side in tensor.shape[1:])
    red, green, blue = tensor.index_select(1, rows).index_select(2, columns).float()
    red_weight, blue_weight = frame.colors.matrix.red_blue
    luma: Tensor = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    return luma.mul_(255).view(_SIDE, _SAMPLES, _SIDE, _SAMPLES).mean((1, 3))


def is_cut(before: Thumbnail, after: Thumbnail) -> bool:
    """Whether there is a cut between two successive frames."""
    if np.abs(after - before).mean() < _MIN_CHANGE:
        return False
    after = after - after.mean() + before.mean()  # a fade or a flash is not a cut
    # Without motion search first: it is cheap, and enough for most pairs of frames.
    if _residual(before, after, 0) + _residual(after, before, 0) < 2 * _THRESHOLD:
        return False
    return _residual(before, after, _SEARCH_RANGE) + _residual(after, before, _SEARCH_RANGE) >= 2 * _THRESHOLD


def _residual(source: Thumbnail, target: Thumbnail, search_range: int) -> float:
    """Match the blocks of ``target`` in ``source``; return the mean residual divided by the texture of ``target``."""
    shifted = sliding_window_view(np.pad(source, search_range, mode="edge"), (_SIDE, _SIDE))
    residual = _blocks(np.abs(shifted - target)).mean((-3, -1)).min((0, 1)).mean()
    blocks = _blocks(target)
    texture = np.abs(blocks - blocks.mean((-3, -1), keepdims=True)).mean()
    return float(residual / (texture + _NOISE))


def _blocks(levels: NDArray[Any]) -> NDArray[Any]:
    """View (..., 32, 32) as (..., rows of blocks, rows, columns of blocks, columns)."""
    blocks = _SIDE // _BLOCK
    return levels.reshape(*levels.shape[:-2], blocks, _BLOCK, blocks, _BLOCK)


def _sample_positions(length: int) -> NDArray[np.intp]:
    """Return evenly spaced positions of the rows or columns to sample."""
    count = _SIDE * _SAMPLES
    return (2 * np.arange(count) + 1) * length // (2 * count)


def _device_positions(length: int, device: torch.device) -> Tensor:
    """Compute the same positions on the device."""
    count = _SIDE * _SAMPLES
    return torch.arange(1, 2 * count, 2, device=device).mul_(length).div_(2 * count, rounding_mode="floor")

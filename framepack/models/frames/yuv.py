"""YUV to RGB and back as ITU-T H.273 defines it, in single precision on any device.

Chroma of subsampled frames sits where H.264 and HEVC put it by default: on the even columns, and midway between
two rows. Both directions use that siting, so that colors neither shift nor bleed however often they are converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from framepack.media.clip import Colors

_STRIP_ROWS: Final = 256  # bounds the memory of a conversion and keeps it in the CPU's caches


def rgb_from_yuv(
    y: Tensor, uv: Tensor, depth: int, halved: tuple[bool, bool], colors: Colors, *, clip: bool = True
) -> Tensor:
    """Convert frames to RGB.

    Args:
        y: luma, shape (N, H, W), integers in any dtype.
        uv: blue and red difference, shape (N, 2, h, w).
        depth: bits per sample, 8 to 16.
        halved: whether chroma has half the (columns, rows), rounded up.
        colors: what the samples mean.
        clip: whether colors outside of RGB's range, such as whiter than white, are brought into it.

    Returns:
        Shape (N, 3, H, W), float32, range 0..1 if clipped.
    """
    height, width = y.shape[-2:]
    luma_steps, chroma_steps, black, zero = _scale(depth, colors)
    luma = y.to(torch.float32).sub_(black).div_(luma_steps)
    chroma = uv.to(torch.float32).sub_(zero).div_(chroma_steps)
    if halved[0]:
        chroma = doubled_columns(chroma)[..., :width]
    if halved[1]:
        chroma = _double_rows(chroma)[..., :height, :]
    blue_difference, red_difference = chroma.unbind(1)
    red_weight, blue_weight = colors.matrix.red_blue
    green_weight = 1 - red_weight - blue_weight
    rgb = luma.new_empty((len(luma), 3, height, width))
    red, green, blue = rgb.unbind(1)
    torch.add(luma, red_difference, alpha=2 * (1 - red_weight), out=red)
    torch.add(luma, blue_difference, alpha=2 * (1 - blue_weight), out=blue)
    torch.sub(luma, red, alpha=red_weight, out=green).sub_(blue, alpha=blue_weight).div_(green_weight)
    return rgb.clamp_(0, 1) if clip else rgb


def yuv420_from_rgb(rgb: Tensor, colors: Colors) -> tuple[Tensor, Tensor]:
    """Convert a frame to 8-bit YUV 4:2:0, rounded once.

    Args:
        rgb: shape (3, H, W), any float dtype, range 0..1.
        colors: what the samples are to mean.

    Returns:
        Luma, shape (H, W), and blue and red difference, shape (2, ceil(H / 2), ceil(W / 2)), both uint8.
    """
    height, width = rgb.shape[-2:]
    luma = rgb.new_empty((height, width), dtype=torch.uint8)
    chroma = rgb.new_empty((2, -(-height // 2), -(-width // 2)), dtype=torch.uint8)
    for top in range(0, height, _STRIP_ROWS):
        strip = rgb[:, top : top + _STRIP_ROWS]
        strip_luma, strip_chroma = _yuv420_strip(strip, colors)
        luma[top : top + _STRIP_ROWS] = strip_luma
        chroma[:, top // 2 : (top + _STRIP_ROWS) // 2] = strip_chroma
    return luma, chroma


def _yuv420_strip(strip: Tensor, colors: Colors) -> tuple[Tensor, Tensor]:
    luma_steps, chroma_steps, black, zero = _scale(8, colors)
    red_weight, blue_weight = colors.matrix.red_blue
    red, green, blue = strip.to(torch.float32, memory_format=torch.contiguous_format)
    luma = red.mul(red_weight).add_(green, alpha=1 - red_weight - blue_weight).add_(blue, alpha=blue_weight)
    chroma = torch.stack((blue, red)).sub_(luma)
    chroma[0].mul_(0.5 / (1 - blue_weight))
    chroma[1].mul_(0.5 / (1 - red_weight))
    chroma = halved(chroma)
    return _bytes(luma.mul_(luma_steps).add_(black)), _bytes(chroma.mul_(chroma_steps).add_(zero))


def _scale(depth: int, colors: Colors) -> tuple[float, float, float, float]:
    """Steps of luma and of chroma over their ranges, luma of black and chroma of gray, at this depth."""
    unit = 2.0 ** (depth - 8)
    if colors.full_range:
        return 256 * unit - 1, 256 * unit - 1, 0.0, 128 * unit
    return 219 * unit, 224 * unit, 16 * unit, 128 * unit


def doubled_columns(samples: Tensor) -> Tensor:
    """Linear interpolation at twice the columns; every old sample stays where it is, at an even column."""
    following = torch.cat((samples[..., 1:], samples[..., -1:]), -1)
    return torch.stack((samples, torch.lerp(samples, following, 0.5)), -1).flatten(-2)


def _double_rows(samples: Tensor) -> Tensor:
    """Linear interpolation at twice the rows; every old sample ends up midway between two new ones."""
    previous = torch.cat((samples[..., :1, :], samples[..., :-1, :]), -2)
    following = torch.cat((samples[..., 1:, :], samples[..., -1:, :]), -2)
    rows = (torch.lerp(samples, previous, 0.25), torch.lerp(samples, following, 0.25))
    return torch.stack(rows, -2).flatten(-3, -2)


def halved(samples: Tensor) -> Tensor:
    """Half the columns and rows (rounded up) of (C, H, W): 1-2-1 around every even column, means of row pairs."""
    if samples.shape[-2] % 2:
        samples = torch.cat((samples, samples[:, -1:]), -2)
    rows = (samples[:, 0::2] + samples[:, 1::2]).mul_(0.5)
    columns = -(-rows.shape[-1] // 2) * 2
    padded = torch.cat((rows[..., :1], rows, rows[..., -1:]), -1)
    sides = padded[..., 0:columns:2] + padded[..., 2 : columns + 2 : 2]
    return sides.mul_(0.25).add_(padded[..., 1 : columns + 1 : 2], alpha=0.5)


def _bytes(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)

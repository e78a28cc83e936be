"""Convert between YUV and RGB as defined by ITU-T H.273, in single precision on any device.

Subsampled chroma has the default siting of H.264 and HEVC ("left"): on even columns, and midway between two rows.
Both directions use this siting, so that colors neither shift nor bleed, however often they are converted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from framepack.media.clip import Colors

log = logging.getLogger("framepack.models")

_STRIP_ROWS: Final = 256  # limits the memory of a conversion, so that it stays in the CPU's caches


def rgb_from_yuv(
    y: Tensor, uv: Tensor, depth: int, halved: tuple[bool, bool], colors: Colors, *, clip: bool = True
) -> Tensor:
    """Convert frames to RGB.

    Args:
        y: Luma, shape (N, H, W), integers in any dtype.
        uv: Chroma (Cb and Cr), shape (N, 2, h, w).
        depth: Bits per sample, 8 to 16.
        halved: Whether chroma has half the (columns, rows), rounded up.
        colors: Color space and range of the samples.
        clip: Whether to clip values outside of 0..1, such as whiter than white.

    Returns:
        Shape (N, 3, H, W), float32, range 0..1 if clipped.
    """
    height, width = y.shape[-2:]
    luma_range, chroma_range, black, zero = _levels(depth, colors)
    luma = y.to(torch.float32).sub_(black).div_(luma_range)
    chroma = uv.to(torch.float32).sub_(zero).div_(chroma_range)
    if halved[0]:
        chroma = upsample_columns(chroma)[..., :width]
    if halved[1]:
        chroma = _upsample_rows(chroma)[..., :height, :]
    cb, cr = chroma.unbind(1)
    red_weight, blue_weight = colors.matrix.red_blue
    green_weight = 1 - red_weight - blue_weight
    # Cb and Cr are differences to luma, scaled to -0.5..0.5: Cr = (R - Y) / (2 * (1 - red_weight)), and Cb likewise.
    # Red and blue follow directly, and green from luma, which is the weighted sum of all three.
    rgb = luma.new_empty((len(luma), 3, height, width))
    red, green, blue = rgb.unbind(1)
    torch.add(luma, cr, alpha=2 * (1 - red_weight), out=red)
    torch.add(luma, cb, alpha=2 * (1 - blue_weight), out=blue)
    torch.sub(luma, red, alpha=red_weight, out=green).sub_(blue, alpha=blue_weight).div_(green_weight)
    return rgb.clamp_(0, 1) if clip else rgb


def yuv420_from_rgb(rgb: Tensor, colors: Colors) -> tuple[Tensor, Tensor]:
    """Convert a frame to 8-bit YUV 4:2:0, rounding only once.

    A CPU does it in strips, which stay in its caches; a GPU at once, because each step of each strip is a kernel to
    launch, and in strips only if its memory runs out.

    Args:
        rgb: Shape (3, H, W), any float dtype, range 0..1.
        colors: Color space and range of the result.

    Returns:
        Luma, shape (H, W), and chroma (Cb and Cr), shape (2, ceil(H / 2), ceil(W / 2)), both uint8.
    """
    if rgb.is_cuda:
        try:
            return _yuv420_strip(rgb, colors)
        except torch.OutOfMemoryError:
            log.warning("Memory ran out: a frame of %d x %d pixels is converted in strips.", *rgb.shape[:0:-1])
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
    luma_range, chroma_range, black, zero = _levels(8, colors)
    red_weight, blue_weight = colors.matrix.red_blue
    red, green, blue = strip.to(torch.float32, memory_format=torch.contiguous_format)
    luma = red.mul(red_weight).add_(green, alpha=1 - red_weight - blue_weight).add_(blue, alpha=blue_weight)
    chroma = torch.stack((blue, red)).sub_(luma)
    chroma[0].mul_(0.5 / (1 - blue_weight))
    chroma[1].mul_(0.5 / (1 - red_weight))
    chroma = subsample(chroma)
    return _to_uint8(luma.mul_(luma_range).add_(black)), _to_uint8(chroma.mul_(chroma_range).add_(zero))


def _levels(depth: int, colors: Colors) -> tuple[float, float, float, float]:
    """Return the ranges of luma and chroma, the luma level of black and the chroma level of gray, at this depth."""
    unit = 2.0 ** (depth - 8)
    if colors.full_range:
        return 256 * unit - 1, 256 * unit - 1, 0.0, 128 * unit
    return 219 * unit, 224 * unit, 16 * unit, 128 * unit


def upsample_columns(samples: Tensor) -> Tensor:
    """Double the columns by linear interpolation; the input samples become the even columns."""
    following = torch.cat((samples[..., 1:], samples[..., -1:]), -1)
    return torch.stack((samples, torch.lerp(samples, following, 0.5)), -1).flatten(-2)


def _upsample_rows(samples: Tensor) -> Tensor:
    """Double the rows by linear interpolation; every input sample lies midway between two rows of the result."""
    previous = torch.cat((samples[..., :1, :], samples[..., :-1, :]), -2)
    following = torch.cat((samples[..., 1:, :], samples[..., -1:, :]), -2)
    rows = (torch.lerp(samples, previous, 0.25), torch.lerp(samples, following, 0.25))
    return torch.stack(rows, -2).flatten(-3, -2)


def subsample(samples: Tensor) -> Tensor:
    """Halve columns and rows of (C, H, W), rounded up: a 1-2-1 filter around even columns, means of row pairs."""
    if samples.shape[-2] % 2:
        samples = torch.cat((samples, samples[:, -1:]), -2)
    rows = (samples[:, 0::2] + samples[:, 1::2]).mul_(0.5)
    columns = -(-rows.shape[-1] // 2) * 2
    padded = torch.cat((rows[..., :1], rows, rows[..., -1:]), -1)
    sides = padded[..., 0:columns:2] + padded[..., 2 : columns + 2 : 2]
    return sides.mul_(0.25).add_(padded[..., 1 : columns + 1 : 2], alpha=0.5)


def _to_uint8(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)

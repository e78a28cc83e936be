"""The denoiser for frames on the device: what ``framepack.media.filters.denoise`` does, in single precision.

Chroma is denoised at half the columns and rows, as it comes from the host; what that changes is added to the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from framepack.media.filters.denoise import CUT_LEVELS, EDGE_LIMIT, MOTION_BOUND, MOTION_SLOPE
from framepack.media.filters.samples import SampleFormat
from framepack.media.filters.strips import strips

if TYPE_CHECKING:
    from framepack.media.clip import Colors

_STRIP_ROWS = 256  # even, so that strips of luma and of chroma match
_KEPT = 0.75  # share of what may change that does


class DeviceDenoiser:
    """Removes noise from the frames of one stream, given in order; keeps one frame in memory."""

    def __init__(self, strength: float, colors: Colors) -> None:
        self._limit = EDGE_LIMIT * strength
        self._bound = MOTION_BOUND * strength
        red, blue = colors.matrix.red_blue
        self._weights = (red, 1 - red - blue, blue)
        sample_format = SampleFormat(8, colors.full_range)
        self._levels = sample_format.luma[0], sample_format.chroma[0]
        self._past: tuple[Tensor, Tensor] | None = None

    def __call__(self, rgb: Tensor) -> Tensor:
        """Denoise the next frame: RGB, shape (3, H, W), any float dtype, 0..1; a new tensor of the same kind."""
        luma, chroma = self._split(rgb)
        past = self._past
        if past is not None and (luma - past[0])[:, ::8, ::8].abs().mean() > CUT_LEVELS:
            past = None
        clean = (
            self._denoised(luma, None if past is None else past[0]),
            self._denoised(chroma, None if past is None else past[1]),
        )
        self._past = clean
        return self._joined(rgb, clean[0] - luma, clean[1] - chroma)

    def _split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Luma (1, H, W), and blue and red difference (2, ceil(H / 2), ceil(W / 2)), in 8-bit levels."""
        red, green, blue = self._weights
        luma, chroma = [], []
        for rows in strips(rgb.shape[1], _STRIP_ROWS):
            part = rgb[:, rows].to(torch.float32)
            y = (part[0] * red).add_(part[1], alpha=green).add_(part[2], alpha=blue)[None]
            difference = torch.stack((part[2], part[0])).sub_(y)
            difference[0] *= self._levels[1] / (2 * (1 - blue))
            difference[1] *= self._levels[1] / (2 * (1 - red))
            chroma.append(functional.avg_pool2d(difference, 2, ceil_mode=True, count_include_pad=False))
            luma.append(y * self._levels[0])
        return torch.cat(luma, 1), torch.cat(chroma, 1)

    def _joined(self, rgb: Tensor, luma: Tensor, chroma: Tensor) -> Tensor:
        """Add changes of luma and of chroma, in 8-bit levels, to a frame."""
        red, green, blue = self._weights
        result = torch.empty_like(rgb)
        height, width = rgb.shape[1:]
        for rows in strips(height, _STRIP_ROWS):
            part = chroma[:, rows.start // 2 : -(-rows.stop // 2)]
            wide = part.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, : rows.stop - rows.start, :width]
            y = luma[0, rows] / self._levels[0]
            to_red = wide[1] * (2 * (1 - red) / self._levels[1])
            to_blue = wide[0] * (2 * (1 - blue) / self._levels[1])
            to_green = (to_red * red + to_blue * blue) / -green
            change = torch.stack((to_red, to_green, to_blue)).add_(y)
            result[:, rows] = change.add_(rgb[:, rows]).clamp_(0, 1)
        return result

    def _denoised(self, planes: Tensor, past: Tensor | None) -> Tensor:
        result = torch.empty_like(planes)
        for rows in strips(planes.shape[1], _STRIP_ROWS):
            now = self._within_frame(_widened(planes, rows, 2))
            if past is None:
                result[:, rows] = now[:, 1:-1]
            else:
                result[:, rows] = self._along_time(now, _widened(past, rows, 1))
        return result

    def _within_frame(self, planes: Tensor) -> Tensor:
        """Average neighbors that differ little; the first and last row are used up."""
        counted = functional.pad(self._limited(planes.diff(dim=2)), (1, 1))
        planes = planes + counted.diff(dim=2) / 4
        return planes[:, 1:-1] + self._limited(planes.diff(dim=1)).diff(dim=1) / 4

    def _limited(self, difference: Tensor) -> Tensor:
        small = difference.clamp(-self._limit, self._limit)
        return small - (difference - small).clamp_(-self._limit, self._limit)

    def _along_time(self, now: Tensor, before: Tensor) -> Tensor:
        difference = before - now
        around = functional.pad(difference, (1, 1, 0, 0), mode="replicate")
        for dimension in (1, 1, 2, 2):
            length = around.shape[dimension] - 1
            around = around.narrow(dimension, 0, length) + around.narrow(dimension, 1, length)
        allowed = (self._bound - around.abs_() * (MOTION_SLOPE / 16)).clamp_(min=0)
        change = difference[:, 1:-1].minimum(allowed).maximum(-allowed)
        return now[:, 1:-1].add(change, alpha=_KEPT)


def _widened(planes: Tensor, rows: slice, halo: int) -> Tensor:
    """Some rows and ``halo`` more above and below; the edge repeats outside."""
    height = planes.shape[1]
    top, bottom = rows.start - halo, rows.stop + halo
    there = planes[:, max(top, 0) : min(bottom, height)]
    return functional.pad(there, (0, 0, max(-top, 0), max(bottom - height, 0)), mode="replicate")

"""Denoise frames in device memory like ``framepack.media.filters.denoise``, in single precision.

Chroma is denoised at half the width and height, like on the host, and the change is added to the full-size frame.
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
_KEPT = 0.75  # share of the allowed temporal change that is applied


class DeviceDenoiser:
    """Removes noise from the frames of one video, called in order; keeps the previous frame in memory."""

    def __init__(self, strength: float, colors: Colors) -> None:
        self._limit = EDGE_LIMIT * strength
        self._bound = MOTION_BOUND * strength
        red, blue = colors.matrix.red_blue
        self._weights = (red, 1 - red - blue, blue)
        sample_format = SampleFormat(8, colors.full_range)
        self._levels = sample_format.luma[0], sample_format.chroma[0]
        self._previous: tuple[Tensor, Tensor] | None = None

    def __call__(self, rgb: Tensor) -> Tensor:
        """Denoise the next frame: RGB, shape (3, H, W), any float dtype, 0..1; a new tensor of the same kind."""
        luma, chroma = self._to_yuv(rgb)
        previous = (None, None) if self._previous is None else self._previous
        continues = None  # a cut is found on the device: to read it here would wait for all that was launched
        if previous[0] is not None:
            continues = (luma - previous[0])[:, ::8, ::8].abs().mean() <= CUT_LEVELS
        clean = self._denoised(luma, previous[0], continues), self._denoised(chroma, previous[1], continues)
        self._previous = clean
        return self._with_changes(rgb, clean[0] - luma, clean[1] - chroma)

    def _to_yuv(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return luma (1, H, W) and chroma (2, ceil(H / 2), ceil(W / 2)), in 8-bit levels."""
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

    def _with_changes(self, rgb: Tensor, luma: Tensor, chroma: Tensor) -> Tensor:
        """Return the frame with changes of luma and chroma, in 8-bit levels, added to it."""
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

    def _denoised(self, planes: Tensor, previous: Tensor | None, continues: Tensor | None) -> Tensor:
        result = torch.empty_like(planes)
        for rows in strips(planes.shape[1], _STRIP_ROWS):
            now = self._within_frame(_padded_rows(planes, rows, 2))
            if previous is None or continues is None:
                result[:, rows] = now[:, 1:-1]
            else:
                result[:, rows] = self._along_time(now, _padded_rows(previous, rows, 1), continues)
        return result

    def _within_frame(self, planes: Tensor) -> Tensor:
        """Average similar neighboring pixels; consumes the first and the last row."""
        steps = functional.pad(self._limited(planes.diff(dim=2)), (1, 1))
        planes = planes + steps.diff(dim=2) / 4
        return planes[:, 1:-1] + self._limited(planes.diff(dim=1)).diff(dim=1) / 4

    def _limited(self, difference: Tensor) -> Tensor:
        """Keep small differences, which are noise; beyond the limit fall back to 0 at twice the limit (edges)."""
        small = difference.clamp(-self._limit, self._limit)
        return small - (difference - small).clamp_(-self._limit, self._limit)

    def _along_time(self, now: Tensor, before: Tensor, continues: Tensor) -> Tensor:
        """Move pixels toward the previous frame, unless there was a cut."""
        difference = before - now
        # Motion is judged by the difference averaged over 3 x 3 pixels (weights 1-2-1 each way, sum 16), because
        # noise makes that of a single pixel meaningless. The larger it is, the less the pixel may move to the old
        # frame.
        around = functional.pad(difference, (1, 1, 0, 0), mode="replicate")
        for dimension in (1, 1, 2, 2):
            length = around.shape[dimension] - 1
            around = around.narrow(dimension, 0, length) + around.narrow(dimension, 1, length)
        allowed = (self._bound - around.abs_() * (MOTION_SLOPE / 16)).clamp_(min=0).mul_(continues)
        change = difference[:, 1:-1].minimum(allowed).maximum(-allowed)
        return now[:, 1:-1].add(change, alpha=_KEPT)


def _padded_rows(planes: Tensor, rows: slice, halo: int) -> Tensor:
    """Return rows with ``halo`` more above and below; beyond the frame, edge rows are repeated."""
    height = planes.shape[1]
    top, bottom = rows.start - halo, rows.stop + halo
    existing = planes[:, max(top, 0) : min(bottom, height)]
    return functional.pad(existing, (0, 0, max(-top, 0), max(bottom - height, 0)), mode="replicate")

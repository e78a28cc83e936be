"""Apply filters to frames in device memory: the same results as on the host, computed in RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from framepack.media.filters.grade import Grade
from framepack.media.filters.luma import BLUR, DETAIL, SHARPEN
from framepack.media.filters.smoothing import Kernel
from framepack.media.filters.strips import strips
from framepack.media.filters.texture import BAND_ROWS, vignette
from framepack.models.frames.device_denoiser import DeviceDenoiser
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.yuv import subsample, upsample_columns

if TYPE_CHECKING:
    from framepack.api.filter_settings import FilterSettings
    from framepack.media.clip import Colors, Frame
    from framepack.media.filters.texture import Grain

_STRIP_ROWS = 4 * BAND_ROWS  # limits the memory that single precision takes
_SMALL = 1e-6
_CORRECTIONS = 2  # passes that bring subsampled chroma closer to the host's result, by 6 to 10 dB each


class DeviceFilter:
    """Applies filters to the frames of one clip, called in order.

    Args:
        settings: Values of the filter controls.
        colors: Color space of the clip.
        grain: Film grain of the clip, or None.
    """

    def __init__(self, settings: FilterSettings, colors: Colors, grain: Grain | None) -> None:
        red, blue = colors.matrix.red_blue
        self._weights = (red, 1 - red - blue, blue)
        self._grade = Grade.of(settings)
        self._blur = Kernel.gaussian((BLUR * settings.blur) ** 2)
        self._sharpen = SHARPEN * settings.sharpen
        radius = self._blur.radius + (DETAIL.radius if self._sharpen else 0)
        self._halo = radius + radius % 2  # even, because strips start at chroma samples
        self._settings, self._grain = settings, grain
        self._grain_noise: Tensor | None = None
        self._vignette: Tensor | None = None
        self._denoiser = DeviceDenoiser(settings.denoise, colors) if settings.denoise else None

    @torch.inference_mode()
    def __call__(self, frame: Frame, index: int) -> DeviceFrame:
        """Filter the frame number ``index``; the result has the same dtype.

        Raises:
            TypeError: The frame is not in device memory.
        """
        if not isinstance(frame, DeviceFrame):
            raise TypeError("only frames in device memory can be filtered on the device")
        self._upload(frame)
        source = frame.tensor if self._denoiser is None else self._denoiser(frame.tensor)
        result = torch.empty_like(frame.tensor)
        offsets = [] if self._grain is None else self._grain.offsets(index).tolist()
        for rows in strips(frame.height, _STRIP_ROWS):
            values = self._spatial(self._graded(self._padded_strip(source, rows)), rows.stop - rows.start)
            if self._grain_noise is not None:
                luma = self._luma_of(values)
                values += luma.sub_(luma.square()).mul_(self._noise(offsets, rows, frame.width))
            if self._vignette is not None:
                values *= self._vignette[rows]
            luma = self._luma_of(values)
            values += luma.clamp(0, 1).sub_(luma)
            result[:, rows] = values
        return DeviceFrame(result, frame.colors)

    def _upload(self, frame: DeviceFrame) -> None:
        """Upload what all frames need: grain and vignette."""
        device = frame.tensor.device
        if self._grain is not None and self._grain_noise is None:
            self._grain_noise = torch.from_numpy(self._grain.noise).to(device)
        if self._settings.vignette and self._vignette is None:
            kept = vignette(self._settings.vignette / 100, frame.width, frame.height)
            self._vignette = torch.from_numpy(kept).to(device)

    def _padded_strip(self, frame: Tensor, rows: slice) -> Tensor:
        """Return rows with the margin that the kernels need, in single precision; edge pixels are repeated."""
        halo = self._halo
        height = frame.shape[-2]
        top, bottom = rows.start - halo, rows.stop + halo
        existing = frame[:, max(top, 0) : min(bottom, height)].to(torch.float32)
        return functional.pad(existing, (halo, halo, max(-top, 0), max(bottom - height, 0)), mode="replicate")

    def _graded(self, rgb: Tensor) -> Tensor:
        """Apply the color controls.

        The host changes subsampled chroma, and the result must be the same here. So the wanted chroma is computed at
        half size too, and its gain is applied at full size. After subsampling on the way to the host, that is not
        exactly the wanted chroma, so each correction adds what is still missing.
        """
        if self._grade.is_neutral:
            return rgb
        luma = self._luma_of(rgb)
        difference = (self._balanced(rgb) if self._grade.temperature else rgb) - luma
        coarse = functional.avg_pool2d(luma[None], 2, ceil_mode=True)[0].clamp_(0, 1)
        wanted = subsample(difference)
        gain = self._gain(coarse, wanted)
        wanted *= gain
        difference *= _upsampled(gain, luma.shape)
        for _ in range(_CORRECTIONS):
            difference += _upsampled(wanted - subsample(difference), luma.shape)
        return difference.add_(self._grade.luma(luma.clamp_(0, 1)))

    def _gain(self, luma: Tensor, difference: Tensor) -> Tensor:
        """Return the chroma gain at chroma resolution, like on the host; all shapes end in (H, W)."""
        gain = self._grade.gain(luma)
        difference = difference * gain
        room = self._grade.luma(luma).clamp(_SMALL, 1 - _SMALL)
        excess = torch.maximum(difference.amax(0) / (1 - room), difference.amin(0) / -room).clamp_(min=1)
        shortened: Tensor = gain / excess
        return shortened

    def _balanced(self, rgb: Tensor) -> Tensor:
        """Apply the temperature: scale red and blue within 0..1, then choose green so that luma stays the same."""
        luma = self._luma_of(rgb)
        red_gain, blue_gain = self._grade.white_balance
        red, blue = rgb[0] * red_gain, rgb[2] * blue_gain
        lost = luma - self._luma_of(torch.stack((red, rgb[1], blue)))
        red, blue = (red + lost).clamp_(0, 1), (blue + lost).clamp_(0, 1)
        of_red, of_green, of_blue = self._weights
        green = luma.sub_(red, alpha=of_red).sub_(blue, alpha=of_blue).div_(of_green)
        return torch.stack((red, green, blue))

    def _spatial(self, rgb: Tensor, rows: int) -> Tensor:
        """Blur and sharpen; consumes the margin and returns ``rows`` rows."""
        if self._blur.radius:
            rgb = convolved(rgb, self._blur)
        if self._sharpen:
            edge = DETAIL.radius
            luma = self._luma_of(rgb)[None]
            detail = luma[:, edge:-edge, edge:-edge] - convolved(luma, DETAIL)
            rgb = rgb[:, edge:-edge, edge:-edge] + self._sharpen * detail
        spare = (rgb.shape[-2] - rows) // 2
        return rgb[:, spare : spare + rows, spare : rgb.shape[-1] - spare]

    def _noise(self, offsets: list[list[int]], rows: slice, width: int) -> Tensor:
        """Return the grain of a strip, cut from the grain texture."""
        assert self._grain_noise is not None  # noqa: S101 - the caller has checked
        bands = offsets[rows.start // BAND_ROWS : -(-rows.stop // BAND_ROWS)]
        cut = [self._grain_noise[row : row + BAND_ROWS, column : column + width] for row, column in bands]
        return torch.cat(cut)[: rows.stop - rows.start]

    def _luma_of(self, rgb: Tensor) -> Tensor:
        red, green, blue = self._weights
        return (rgb[0] * red).add_(rgb[1], alpha=green).add_(rgb[2], alpha=blue)


def _upsampled(samples: Tensor, size: torch.Size) -> Tensor:
    """Interpolate values at chroma resolution to full size; all shapes end in (H, W)."""
    pixels = upsample_columns(samples).repeat_interleave(2, -2)
    return pixels[..., : size[-2], : size[-1]]


def convolved(frame: Tensor, kernel: Kernel) -> Tensor:
    """Smooth (C, H, W) along columns and rows; consumes a margin of the kernel's radius."""
    taps = kernel.taps().tolist()
    for dimension in (1, 2):
        length = frame.shape[dimension] - 2 * kernel.radius
        total = frame.narrow(dimension, 0, length) * taps[0]
        for offset, weight in enumerate(taps[1:], start=1):
            total.add_(frame.narrow(dimension, offset, length), alpha=weight)
        frame = total
    return frame

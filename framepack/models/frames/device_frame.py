"""Frames on the device, and the way there and back: YUV travels, RGB is made where the networks run."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from framepack.media.frames.arrays import Planes, frame_from_planes, planes_of
from framepack.models.frames.yuv import rgb_from_yuv, yuv420_from_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.clip import Colors, Frame

    Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class DeviceFrame:
    """A frame on the device.

    Attributes:
        tensor: RGB, shape (3, H, W), float16, bfloat16 or float32; read-only. Its luma is within 0..1; a color may
            lie a little outside, as in YUV.
        colors: what its planar YUV will mean on the host.
    """

    tensor: Tensor
    colors: Colors
    _fetched: list[av.VideoFrame] = field(default_factory=list, init=False, repr=False)

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self.tensor.shape[-1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.tensor.shape[-2])

    @property
    def is_near_host(self) -> bool:
        """Whether the device is the CPU, so that the frame need not travel."""
        return self.tensor.device.type == "cpu"

    @torch.inference_mode()
    def on_host(self) -> av.VideoFrame:
        """The frame as 8-bit yuv420p, converted on the device and fetched at the first call."""
        if not self._fetched:
            luma, chroma = yuv420_from_rgb(self.tensor, self.colors)
            y, u, v = (_download(plane) for plane in (luma, *chroma))
            if self.tensor.is_cuda:
                torch.cuda.current_stream(self.tensor.device).synchronize()
            self._fetched.append(frame_from_planes(y.numpy(), u.numpy(), v.numpy(), self.colors))
        return self._fetched[0]


@torch.inference_mode()
def to_device(
    frames: Sequence[Frame], device: torch.device, dtype: torch.dtype, colors: Colors, *, clip: bool = True
) -> Tensor:
    """Bring frames onto the device as one batch.

    Planar YUV is uploaded as it is and converted there in single precision.

    Args:
        frames: at least one; all of one size.
        device: where to.
        dtype: of the result.
        colors: what the YUV samples of frames on the host mean.
        clip: whether colors outside of RGB's range are brought into it.

    Returns:
        RGB, shape (N, 3, H, W), range 0..1 if clipped, channels last.
    """
    images: list[Tensor] = []
    for _, run in groupby(frames, key=_home):
        members = list(run)
        if isinstance(members[0], DeviceFrame):
            there = [frame.tensor.to(device, dtype)[None] for frame in members if isinstance(frame, DeviceFrame)]
            images += [tensor.clamp(0, 1) for tensor in there] if clip else there
        else:
            views = [planes_of(frame.on_host()) for frame in members]
            images.append(_upload(views, device, colors, clip=clip).to(dtype))
    batch = images[0] if len(images) == 1 else torch.cat(images)
    return batch.contiguous(memory_format=torch.channels_last)


def _home(frame: Frame) -> str:
    """Frames of one home in a row are converted together."""
    return "device" if isinstance(frame, DeviceFrame) else frame.on_host().format.name


def _upload(views: Sequence[Planes], device: torch.device, colors: Colors, *, clip: bool) -> Tensor:
    y = _send([view.y for view in views], device)
    uv = _send([plane for view in views for plane in (view.u, view.v)], device)
    uv = uv.view(len(views), 2, *uv.shape[1:])
    return rgb_from_yuv(y, uv, views[0].depth, views[0].halved, colors, clip=clip)


def _send(planes: Sequence[Samples], device: torch.device) -> Tensor:
    """Copy planes of one size to the device: shape (N, H, W), uint8 or int32.

    They are gathered in page-locked memory first, from where a GPU fetches them while the CPU goes on.
    """
    wide = planes[0].dtype.itemsize > 1
    dtype = torch.int16 if wide else torch.uint8
    staged = torch.empty((len(planes), *planes[0].shape), dtype=dtype, pin_memory=device.type == "cuda")
    array = staged.numpy().view(planes[0].dtype)
    for index, plane in enumerate(planes):
        array[index] = plane
    samples = staged.to(device, non_blocking=True)
    return samples.to(torch.int32).bitwise_and_(0xFFFF) if wide else samples  # torch computes little in uint16


def _download(samples: Tensor) -> Tensor:
    """Start copying to the host: from a GPU the bytes are there when its stream is synchronized."""
    if not samples.is_cuda:
        return samples
    return torch.empty_like(samples, device="cpu", pin_memory=True).copy_(samples, non_blocking=True)
